// Counts the checks of a Node suite in the way harness.py reads them.
import assert from 'node:assert/strict'

const cases = []

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
      console.log(`ok ${name}`)
    } catch (error) {
      failed += 1
      console.log(`FAILED ${name}: ${error.name}: ${error.message}\n${(error.stack ?? '').split('\n').slice(1, 4).join('\n')}`)
    }
  }
  console.log(`${cases.length - failed} passed, ${failed} failed`)
  process.exit(failed ? 1 : 0)
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

/** Bytes that differ from place to place. */
export function pattern(size, seed = 1) {
  const out = Buffer.allocUnsafe(size)
  let x = seed * 2654435761 >>> 0 || 1
  for (let i = 0; i < size; i += 1) {
    x ^= x << 13; x >>>= 0; x ^= x >>> 17; x ^= x << 5; x >>>= 0
    out[i] = x
  }
  return out
}
