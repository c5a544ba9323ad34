// Counts the checks of a suite, in Node or in a browser's page, in the way harness.py reads them.
import assert from 'node:assert/strict'

const cases = []

/** Whether this runs in a page: see browser.mjs. */
export const inBrowser = typeof window !== 'undefined'

/** What the suite was told: the environment, in a page what browser.mjs hands on of it. */
export const environment = inBrowser ? window.environment : process.env

async function say(line) {
  if (inBrowser) await fetch('/line', { method: 'POST', body: line })
  else console.log(line)
}

/** Adds a case; cases run in the order written. */
export function test(name, run) {
  cases.push([name, run])
}

/** Runs all cases; prints one line each and, last, `N passed, N failed`. */
export async function finish() {
  let failed = 0
  for (const [name, run] of cases) {
    try {
      await run()
      await say(`ok ${name}`)
    } catch (error) {
      failed += 1
      await say(`FAILED ${name}: ${error.name}: ${error.message}\n${(error.stack ?? '').split('\n').slice(1, 4).join('\n')}`)
    }
  }
  await say(`${cases.length - failed} passed, ${failed} failed`)
  if (!inBrowser) process.exit(failed ? 1 : 0)
}

/** Awaits a refusal; returns the error, whose code and status may be named. */
export async function refused(promise, name, status) {
  try {
    await promise
  } catch (error) {
    if (name) assert.equal(error.name, name, `${error.name}: ${error.message}`)
    if (status) assert.equal(error.$metadata?.httpStatusCode, status, error.message)
    return error
  }
  assert.fail(`succeeded where ${name ?? status} was due`)
}

/** Bytes that differ from place to place; in Node a Buffer. */
export function pattern(size, seed = 1) {
  const out = inBrowser ? new Uint8Array(size) : Buffer.allocUnsafe(size)
  let x = seed * 2654435761 >>> 0 || 1
  for (let i = 0; i < size; i += 1) {
    x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0
    out[i] = x
  }
  return out
}

/** The bytes of a text. */
export const utf8 = (text) => new TextEncoder().encode(text)

/** Bytes must be the same; texts stand for their bytes. */
export function sameBytes(got, wanted, what) {
  const [a, b] = [got, wanted].map((one) => (typeof one === 'string' ? utf8(one) : one instanceof ArrayBuffer ? new Uint8Array(one) : one))
  const at = a.findIndex((byte, i) => byte !== b[i])
  assert.ok(a.length === b.length && at < 0, `${what}: ${a.length} bytes differ from the ${b.length} wanted${at < 0 ? '' : ` at ${at}`}`)
}
