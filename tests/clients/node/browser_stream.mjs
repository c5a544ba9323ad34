// Pages have no streams of Node's; a suite asks for none of them there.
export const Readable = undefined
