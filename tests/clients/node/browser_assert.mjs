// What the suites use of node:assert/strict, for a page.

class AssertionError extends Error {
  name = 'AssertionError'
}

const shown = (value) => (value instanceof RegExp || value === undefined ? String(value) : JSON.stringify(value))

function alike(a, b) {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && alike(a[key], b[key]))
}

const demand = (holds, message, otherwise) => { if (!holds) throw new AssertionError(message ?? otherwise()) }

export default {
  ok: (value, message) => demand(value, message, () => `${shown(value)} is not true`),
  equal: (a, b, message) => demand(Object.is(a, b), message, () => `${shown(a)} is not ${shown(b)}`),
  deepEqual: (a, b, message) => demand(alike(a, b), message, () => `${shown(a)} is not ${shown(b)}`),
  match: (text, wanted, message) => demand(typeof text === 'string' && wanted.test(text), message, () => `${shown(text)} does not match ${wanted}`),
  fail: (message) => demand(false, message, () => 'failed'),
}
