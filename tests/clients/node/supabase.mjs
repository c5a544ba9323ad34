// The storage part of @supabase/supabase-js: each method and option, as service role, as anonymous and as users under policies;
// in Node, and in a page of a browser on another origin.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { createClient } from '@supabase/supabase-js'
import { environment, finish, inBrowser, pattern, sameBytes, test, utf8 } from './cases.mjs'

const { URL_BASE, STREAM_URL_BASE = URL_BASE, PUBLISHABLE, SECRET, ALICE, BOB, RUN } = environment
// Node 20 has no WebSocket, and nothing here uses one.
const realtime = { transport: class {} }
// Objects change under one URL here, and a browser would keep what their Cache-Control lets it keep.
const fetch = (url, options) => globalThis.fetch(url, { cache: 'no-store', ...options })
const open = (key, token, base = URL_BASE) => createClient(base, key, { realtime, global: { fetch }, auth: { persistSession: false }, ...(token ? { accessToken: async () => token } : {}) }).storage
const service = open(SECRET), anon = open(PUBLISHABLE), alice = open(PUBLISHABLE, ALICE), bob = open(PUBLISHABLE, BOB)
const name = (kind) => `${kind}-${RUN}`
const files = service.from(name('closed')), shared = service.from(name('open'))
// Where bodies may be streams.
const streams = open(SECRET, undefined, STREAM_URL_BASE).from(name('closed'))

/** What a call resolved to; it must not have failed. */
async function good(promise) {
  const { data, error } = await promise
  assert.equal(error, null, `${error?.message} (${error?.statusCode})`)
  return data
}

/** The error a call must resolve to; its status as the API says it may be named. */
async function bad(promise, statusCode, message) {
  const { data, error } = await promise
  assert.ok(error, `succeeded: ${JSON.stringify(data)}`)
  if (statusCode) assert.equal(String(error.statusCode ?? error.status), String(statusCode), error.message)
  if (message) assert.match(error.message, message)
  return error
}

const bytes = async (blob) => new Uint8Array(await blob.arrayBuffer())
const text = async (from, key) => (await good(from.download(key))).text()
/** The same bytes in pieces: a stream of Node's, or the page's. */
function streamOf(data) {
  const pieces = (function* () { for (let i = 0; i < data.length; i += 65_536) yield data.subarray(i, i + 65_536) })()
  if (!inBrowser) return Readable.from(pieces)
  return new ReadableStream({ pull(to) { const { value, done } = pieces.next(); if (done) to.close(); else to.enqueue(new Uint8Array(value)) } })
}
const names = (list) => list.map((entry) => entry.name)

test('buckets are made, shown, listed and changed', async () => {
  assert.deepEqual(await good(service.createBucket(name('closed'))), { name: name('closed') })
  await good(service.createBucket(name('open'), { public: true, fileSizeLimit: '1MB', allowedMimeTypes: ['text/*', 'image/png'] }))
  const bucket = await good(service.getBucket(name('open')))
  assert.deepEqual([bucket.id, bucket.name, bucket.public, bucket.file_size_limit, bucket.allowed_mime_types], [name('open'), name('open'), true, 1_000_000, ['text/*', 'image/png']])
  assert.deepEqual(names(await good(service.listBuckets({ search: RUN, sortColumn: 'name', sortOrder: 'desc' }))), [name('open'), name('closed')])
  assert.deepEqual(names(await good(service.listBuckets({ search: RUN, sortColumn: 'name', sortOrder: 'asc', limit: 1, offset: 1 }))), [name('open')])
  assert.equal((await good(service.updateBucket(name('open'), { public: true, fileSizeLimit: 2000 }))).message, 'Successfully updated')
  assert.equal((await good(service.getBucket(name('open')))).file_size_limit, 2000)
  await bad(service.createBucket(name('open')), 409, /already exists/)
  await bad(service.getBucket(name('none')), 404, /not found/i)
  await bad(anon.createBucket(name('evil')), 403, /row-level security/)
  assert.deepEqual(await good(anon.listBuckets({ search: RUN })), [])
})

test('bodies of every kind', async () => {
  const form = new FormData()
  form.append('file', new Blob(['of a form'], { type: 'text/plain' }), 'x.txt')
  const data = pattern(300_000)
  const bodies = {
    string: ['ünï', 'ünï'], array: [data.buffer.slice(data.byteOffset, data.byteOffset + 1000), data.subarray(0, 1000)],
    view: [new DataView(data.buffer, data.byteOffset + 8, 500), data.subarray(8, 508)], bytes: [new Uint8Array(data), data], blob: [new Blob([data], { type: 'image/png' }), data], form: [form, 'of a form'], empty: [new Blob([]), ''],
    file: [new File([data], 'f.png', { type: 'image/png' }), data],
    parameters: [new URLSearchParams({ a: 'ü', b: '' }), 'a=%C3%BC&b='], 'web stream': [new Blob([data]).stream(), data],
    ...(inBrowser ? {} : { buffer: [data, data], 'node stream': [Readable.from([data.subarray(0, 100_000), data.subarray(100_000)]), data] }),
  }
  for (const [kind, [body, wanted]] of Object.entries(bodies)) {
    const made = await good((kind === 'web stream' ? streams : files).upload(`kinds/${kind}`, body, { contentType: 'application/x-test' }))
    assert.deepEqual([made.path, made.fullPath, typeof made.id], [`kinds/${kind}`, `${name('closed')}/kinds/${kind}`, 'string'])
    const back = await good(files.download(`kinds/${kind}`))
    sameBytes(await bytes(back), wanted, kind)
    if (kind === 'blob' || kind === 'file') assert.equal(back.type, 'image/png')
    if (kind === 'bytes') assert.equal(back.type, 'application/x-test')
  }
})

test('streams with duplex, and downloads as streams', async () => {
  const data = pattern(6_000_000, 5)
  await good(streams.upload('stream', streamOf(data), { duplex: 'half', contentType: 'application/x-stream', cacheControl: '60' }))
  const stream = await good(files.download('stream').asStream())
  sameBytes(await new Response(stream).arrayBuffer(), data, 'a stream')
  await good(streams.update('stream', streamOf(data.subarray(7)), { duplex: 'half' }))
  sameBytes(await bytes(await good(files.download('stream'))), data.subarray(7), 'a stream in its place')
})

test('upsert, update and what is there already', async () => {
  await good(files.upload('twice', 'one'))
  await bad(files.upload('twice', 'two'), 409, /already exists/)
  assert.equal(await text(files, 'twice'), 'one')
  await good(files.upload('twice', 'two', { upsert: true }))
  assert.equal(await text(files, 'twice'), 'two')
  await good(files.update('twice', 'three', { contentType: 'text/plain', cacheControl: '5', metadata: { n: 3 } }))
  assert.equal(await text(files, 'twice'), 'three')
  const info = await good(files.info('twice'))
  assert.deepEqual([info.contentType, info.cacheControl, info.metadata], ['text/plain', 'max-age=5', { n: 3 }])
  await good(files.update('twice', new File(['three'], 'f.txt', { type: 'text/plain' })))
})

test('metadata, cache control and headers are in the information', async () => {
  const metadata = { colour: 'grün', deep: { list: [1, 'two', null] } }
  for (const [key, body] of [['raw.txt', 'hello'], ['form.txt', new Blob(['hello'], { type: 'text/plain' })]]) {
    await good(files.upload(`info/${key}`, body, { contentType: 'text/plain', cacheControl: '77', metadata, headers: { 'x-robots-tag': 'noindex' } }))
    const info = await good(files.info(`info/${key}`))
    assert.deepEqual([info.name, info.bucketId, info.size, info.contentType, info.cacheControl, info.metadata], [`info/${key}`, name('closed'), 5, 'text/plain', 'max-age=77', metadata])
    assert.ok(info.etag && info.version && Date.parse(info.createdAt) && Date.parse(info.lastModified))
    assert.deepEqual(await files.exists(`info/${key}`), { data: true, error: null })
  }
  assert.equal((await files.exists('info/none')).data, false)
  await bad(files.info('info/none'), 404, /not found/i)
  await bad(files.download('info/none'))
})

test('calls are given up', async () => {
  const given = new AbortController()
  given.abort()
  for (const call of [files.download('twice', {}, { signal: given.signal }), files.list('', {}, { signal: given.signal }), files.listV2({}, { signal: given.signal })]) {
    const { error } = await call.then((answer) => answer, (error) => ({ error }))
    assert.match(`${error?.name} ${error?.message} ${error?.originalError?.name}`, /abort/i)
  }
})

test('limits of a bucket', async () => {
  await bad(shared.upload('large.txt', 'x'.repeat(2001), { contentType: 'text/plain' }), 413, /exceeded the maximum allowed size/)
  await good(service.updateBucket(name('open'), { public: true, fileSizeLimit: null, allowedMimeTypes: ['text/*', 'image/png'] }))
  await bad(shared.upload('page.pdf', 'x', { contentType: 'application/pdf' }), 415, /mime type application\/pdf is not supported/)
  await good(shared.upload('large.txt', 'x'.repeat(2001), { contentType: 'text/plain' }))
})

test('public URLs', async () => {
  await good(shared.upload('a b/ü.txt', 'public', { contentType: 'text/plain', cacheControl: '60' }))
  const at = shared.getPublicUrl('a b/ü.txt').data.publicUrl
  const answer = await fetch(at)
  assert.deepEqual([answer.status, await answer.text(), answer.headers.get('cache-control')], [200, 'public', 'max-age=60'])
  for (const [download, wanted] of [[true, 'attachment'], ['né.txt', "attachment; filename=n%C3%A9.txt; filename*=UTF-8''n%C3%A9.txt"]]) {
    const given = await fetch(shared.getPublicUrl('a b/ü.txt', { download, cacheNonce: 'n1' }).data.publicUrl)
    const disposition = given.headers.get('content-disposition')
    assert.equal(given.status, 200)
    if (download === true) assert.match(disposition, /^attachment/)
    else assert.ok(disposition.startsWith('attachment') && disposition.includes("filename*=UTF-8''n%C3%A9.txt"), `${disposition} instead of ${wanted}`)
  }
  assert.equal(await text(anon.from(name('open')), 'a b/ü.txt'), 'public')
  assert.equal((await fetch(files.getPublicUrl('twice').data.publicUrl)).status, 400)
  await bad(anon.from(name('closed')).download('twice'))
})

test('lists: search, paging, order and folders', async () => {
  for (const key of ['l/b.txt', 'l/a.txt', 'l/c.txt', 'l/sub/x', 'l/sub/y']) await good(files.upload(key, key))
  const list = async (options) => names(await good(files.list('l', options)))
  assert.deepEqual(await list({ sortBy: { column: 'name', order: 'asc' } }), ['a.txt', 'b.txt', 'c.txt', 'sub'])
  assert.deepEqual(await list({ sortBy: { column: 'name', order: 'desc' } }), ['sub', 'c.txt', 'b.txt', 'a.txt'])
  assert.deepEqual(await list({ limit: 2, offset: 1 }), ['b.txt', 'c.txt'])
  assert.deepEqual(await list({ search: 'b' }), ['b.txt'])
  const entries = await good(files.list('l', { sortBy: { column: 'created_at', order: 'asc' } }))
  assert.deepEqual(names(entries.filter((entry) => entry.id)), ['b.txt', 'a.txt', 'c.txt'])
  assert.equal(entries.find((entry) => entry.name === 'b.txt').metadata.size, 7)
  assert.deepEqual(names(await good(files.list('l/sub'))), ['x', 'y'])
})

test('lists by cursor, flat and folded', async () => {
  const all = async (options) => {
    const found = []
    let cursor
    for (let page = 0; page < 20; page += 1) {
      const got = await good(files.listV2({ prefix: 'l/', limit: 2, ...options, ...(cursor ? { cursor } : {}) }))
      assert.ok(got.folders.length + got.objects.length <= 2)
      found.push(...names(got.folders), ...names(got.objects))
      if (!got.hasNext) return found
      cursor = got.nextCursor
    }
    assert.fail('pages do not end')
  }
  assert.deepEqual(await all({}), ['l/a.txt', 'l/b.txt', 'l/c.txt', 'l/sub/x', 'l/sub/y'])
  assert.deepEqual(await all({ sortBy: { column: 'name', order: 'desc' } }), ['l/sub/y', 'l/sub/x', 'l/c.txt', 'l/b.txt', 'l/a.txt'])
  // A page holds its folders and its objects apart, so across pages only the set is in question.
  assert.deepEqual((await all({ with_delimiter: true })).sort(), ['l/a.txt', 'l/b.txt', 'l/c.txt', 'l/sub/'])
})

test('copies and moves, in a bucket and between buckets', async () => {
  await good(files.upload('from.txt', 'content', { contentType: 'text/plain', metadata: { a: '1' } }))
  assert.deepEqual(await good(files.copy('from.txt', 'copy.txt')), { path: `${name('closed')}/copy.txt` })
  await good(files.copy('from.txt', 'there.txt', { destinationBucket: name('open') }))
  assert.deepEqual([await text(files, 'copy.txt'), await text(shared, 'there.txt')], ['content', 'content'])
  assert.deepEqual((await good(files.info('copy.txt'))).metadata, { a: '1' })
  await bad(files.copy('from.txt', 'copy.txt'), 409)
  assert.equal((await good(files.move('copy.txt', 'moved/to.txt'))).message, 'Successfully moved')
  await good(files.move('moved/to.txt', 'moved.txt', { destinationBucket: name('open') }))
  assert.equal((await files.exists('copy.txt')).data, false)
  assert.equal(await text(shared, 'moved.txt'), 'content')
  await bad(files.move('none', 'x'), 404)
  await bad(files.copy('none', 'x'), 404)
})

test('signed URLs: one, many, as a download, with a nonce', async () => {
  for (const key of ['sign/a b.txt', 'sign/what?#1.txt', 'sign/日本.txt']) {
    await good(files.upload(encodeURIComponent(key).replaceAll('%2F', '/'), key))
    const { signedUrl } = await good(files.createSignedUrl(encodeURIComponent(key).replaceAll('%2F', '/'), 60, { cacheNonce: 'x' }))
    assert.equal(await (await fetch(signedUrl)).text(), key)
  }
  const { signedUrl } = await good(files.createSignedUrl('twice', 60, { download: 'my name.txt' }))
  const answer = await fetch(signedUrl)
  assert.deepEqual([answer.status, await answer.text()], [200, 'three'])
  assert.match(answer.headers.get('content-disposition'), /^attachment;.*my%20name\.txt/)
  assert.match((await fetch((await good(files.createSignedUrl('twice', 60, { download: true }))).signedUrl)).headers.get('content-disposition'), /^attachment/)
  const many = await good(files.createSignedUrls(['twice', 'none', 'sign/a b.txt'], 60, { download: true }))
  assert.deepEqual(many.map((one) => [one.path, one.signedUrl === null, one.error === null]), [['twice', false, true], ['none', true, false], ['sign/a b.txt', false, true]])
  assert.equal(await (await fetch(many[2].signedUrl)).text(), 'sign/a b.txt')
  await bad(files.createSignedUrl('none', 60), 404)
  const forged = await fetch(signedUrl.replace(/token=[^&]*/, (token) => token.slice(0, -4) + 'AAAA'))
  assert.equal(forged.status, 400)
})

test('signed uploads', async () => {
  for (const [key, body] of [['up/raw', 'raw'], ['up/blob', new Blob(['blob'], { type: 'text/plain' })], ['up/stream', streamOf(utf8('stream'))], ['up/array', utf8('array').buffer], ['up/file', new File(['file'], 'x', { type: 'text/plain' })]]) {
    const { path, token } = await good(files.createSignedUploadUrl(key))
    assert.deepEqual(await good((key === 'up/stream' ? open(PUBLISHABLE, undefined, STREAM_URL_BASE) : anon).from(name('closed')).uploadToSignedUrl(path, token, body, { contentType: 'text/plain', cacheControl: '9', metadata: { k: 'v' } })), { path, fullPath: `${name('closed')}/${key}` })
    const info = await good(files.info(key))
    assert.deepEqual([info.contentType, info.cacheControl, info.metadata, await text(files, key)], ['text/plain', 'max-age=9', { k: 'v' }, key.slice(3)])
    await bad(files.uploadToSignedUrl(path, token, 'again'), 409)
  }
  await bad(files.createSignedUploadUrl('up/raw'), 409)
  const { token } = await good(files.createSignedUploadUrl('up/raw', { upsert: true }))
  await good(anon.from(name('closed')).uploadToSignedUrl('up/raw', token, 'newer'))
  assert.equal(await text(files, 'up/raw'), 'newer')
  await bad(anon.from(name('closed')).uploadToSignedUrl('up/other', token, 'x'))
})

// 16 × 8, half of it red.
const PICTURE = Uint8Array.from(atob('iVBORw0KGgoAAAANSUhEUgAAABAAAAAICAIAAAB/FOjAAAAAHElEQVR42mM8ISfHgA34MOzDKs7EQCIY1UAMAAAWkQIen4LNsAAAAABJRU5ErkJggg=='), (c) => c.charCodeAt(0))
/** Width and height of a PNG. */
function sizeOf(png) {
  assert.equal(String.fromCharCode(...png.subarray(1, 4)), 'PNG')
  const view = new DataView(png.buffer, png.byteOffset)
  return [view.getUint32(16), view.getUint32(20)]
}
const fetched = async (at) => {
  const answer = await fetch(at, { headers: { accept: '*/*' } })
  assert.equal(answer.status, 200, await answer.clone().text())
  return sizeOf(new Uint8Array(await answer.arrayBuffer()))
}

test('images are rendered as `transform` says', async () => {
  for (const to of [files, shared]) await good(to.upload('picture.png', PICTURE, { contentType: 'image/png', upsert: true }))
  const transform = { width: 4, height: 4, resize: 'contain', quality: 50, format: 'origin' }
  assert.deepEqual(sizeOf(await bytes(await good(files.download('picture.png', { transform })))), [4, 2])
  assert.deepEqual(sizeOf(await bytes(await good(files.download('picture.png', { transform: { ...transform, resize: 'cover' } })))), [4, 4])
  assert.equal((await good(files.download('picture.png', { transform: { width: 4, format: 'webp' } }))).type, 'image/webp')
  const { signedUrl } = await good(files.createSignedUrl('picture.png', 60, { transform }))
  const { publicUrl } = shared.getPublicUrl('picture.png', { transform }).data
  for (const at of [signedUrl, publicUrl]) {
    assert.match(at, /\/render\/image\//)
    assert.deepEqual(await fetched(at), [4, 2])
  }
  assert.deepEqual(await fetched(`${signedUrl}&width=16&height=16&resize=fill`), [4, 2])
  const { signedUrl: file } = await good(files.createSignedUrl('picture.png', 60, { transform, download: 'small.png' }))
  assert.match((await fetch(file)).headers.get('content-disposition') ?? 'attachment', /attachment/)
  await bad(anon.from(name('closed')).download('picture.png', { transform }), 404)
  await bad(files.download('twice', { transform }), 400, /not an image/)
  await bad(files.download('picture.png', { transform: { ...transform, quality: 5 } }), 400, /quality must be >= 20/)
})

test("another's images stay another's, whatever their size", async () => {
  const key = `${RUN}-picture.png`, transform = { width: 4, format: 'origin' }
  await good(alice.from('mine').upload(key, PICTURE, { contentType: 'image/png', upsert: true }))
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(sizeOf(await bytes(await good(alice.from('mine').download(key, { transform })))), [4, 2])
    for (const other of [bob, anon]) {
      await bad(other.from('mine').download(key, { transform }), 404)
      await bad(other.from('mine').createSignedUrl(key, 60, { transform }), 404)
    }
    assert.equal((await fetch(alice.from('mine').getPublicUrl(key, { transform }).data.publicUrl)).status, 400)
  }
  const { signedUrl } = await good(alice.from('mine').createSignedUrl(key, 60, { transform }))
  assert.deepEqual(await fetched(signedUrl), [4, 2])
  assert.equal((await fetch(signedUrl.replace(key, 'other.png'))).status, 400)
  assert.equal((await fetch(signedUrl.replace('/render/image/', '/object/'))).status, 400)
  await good(alice.from('mine').remove([key]))
})

if (inBrowser) test('a page shows rendered images', async () => {
  const shown = async (transform) => {
    const image = new Image()
    image.src = shared.getPublicUrl('picture.png', { transform }).data.publicUrl
    await image.decode()
    return [image.naturalWidth, image.naturalHeight]
  }
  assert.deepEqual(await shown({ width: 8 }), [8, 4])
  assert.deepEqual(await shown({ width: 4, height: 4 }), [4, 4])
  assert.deepEqual(await shown({ width: 16, format: 'avif' }), [16, 8])
})

test('there is no cache that could be purged', async () => {
  await bad(files.purgeCache('twice'), 400, /CDN_PURGE_ENDPOINT_URL is not set/)
  await bad(service.purgeBucketCache(name('closed')), 400, /CDN_PURGE_ENDPOINT_URL is not set/)
  await bad(anon.from(name('closed')).purgeCache('twice', { transformations: true }), 403)
})

test('removal answers what was removed', async () => {
  const removed = await good(files.remove(['l/a.txt', 'l/none', 'l/b.txt']))
  assert.deepEqual(names(removed).sort(), ['l/a.txt', 'l/b.txt'])
  assert.equal((await files.exists('l/a.txt')).data, false)
  assert.deepEqual(await good(files.remove(['l/none'])), [])
})

test('users see and change what the policies give them', async () => {
  const mine = (who) => who.from('mine')
  const key = `${RUN}-alice.txt`
  await good(mine(alice).upload(key, 'of alice', { upsert: true, metadata: { of: 'alice' } }))
  assert.equal(await text(mine(alice), key), 'of alice')
  assert.deepEqual((await good(mine(alice).info(key))).metadata, { of: 'alice' })
  assert.deepEqual([(await mine(bob).exists(key)).data, names(await good(mine(bob).list('', { search: RUN })))], [false, []])
  assert.deepEqual(names(await good(mine(alice).list('', { search: RUN }))), [key])
  await bad(mine(bob).download(key))
  await bad(mine(bob).upload(key, 'evil', { upsert: true }), 403, /row-level security/)
  await bad(mine(bob).update(key, 'evil'))
  await bad(mine(bob).createSignedUrl(key, 60), 404)
  await bad(mine(bob).copy(key, `${RUN}-stolen.txt`), 404)
  await bad(mine(bob).move(key, `${RUN}-stolen.txt`), 404)
  assert.deepEqual(await good(mine(bob).remove([key])), [])
  assert.deepEqual((await good(mine(bob).createSignedUrls([key], 60))).map((one) => one.signedUrl), [null])
  await bad(mine(anon).upload(`${RUN}-anon.txt`, 'x'), 403, /row-level security/)
  await bad(alice.from(name('closed')).upload('x', 'x'), 403)
  assert.equal(await text(mine(alice), key), 'of alice')
  await good(mine(alice).copy(key, `${RUN}-copy.txt`))
  await good(mine(alice).move(`${RUN}-copy.txt`, `${RUN}-moved.txt`))
  const { token } = await good(mine(alice).createSignedUploadUrl(`${RUN}-signed.txt`))
  await good(mine(anon).uploadToSignedUrl(`${RUN}-signed.txt`, token, 'by a friend'))
  assert.equal(await text(mine(alice), `${RUN}-signed.txt`), 'by a friend')
  assert.deepEqual(names(await good(mine(alice).remove([key, `${RUN}-moved.txt`, `${RUN}-signed.txt`]))).length, 3)
})

test('a token that was tampered with opens nothing', async () => {
  const [head, claims] = ALICE.split('.')
  const forged = open(PUBLISHABLE, `${head}.${claims}.${'A'.repeat(43)}`)
  await bad(forged.from('mine').list(''), 403)
  await bad(forged.listBuckets(), 403)
})

test('buckets are emptied and deleted', async () => {
  await bad(service.deleteBucket(name('closed')), 409, /not empty/)
  for (const kind of ['closed', 'open']) {
    await good(service.emptyBucket(name(kind)))
    assert.deepEqual(await good(service.from(name(kind)).list('')), [])
    assert.equal((await good(service.deleteBucket(name(kind)))).message, 'Successfully deleted')
  }
  await bad(service.getBucket(name('open')), 404)
})

await finish()
