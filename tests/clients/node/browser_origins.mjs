// What a page reads of a server that names the origins it serves: ALLOWED says whether this page's is one of them.
import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'
import { environment, finish, test } from './cases.mjs'

const { URL_BASE, PUBLISHABLE, ALLOWED } = environment
const storage = createClient(URL_BASE, PUBLISHABLE, { realtime: { transport: class {} }, auth: { persistSession: false } }).storage

if (ALLOWED) {
  test('an origin of the list reads', async () => {
    const { data, error } = await storage.listBuckets()
    assert.deepEqual([data?.map((one) => one.name), error], [['mine'], null])
    assert.equal((await storage.getBucket('none')).error.statusCode, '404')
    assert.equal((await fetch(`${URL_BASE}/status`)).status, 200)
  })
} else {
  test('another origin reads nothing', async () => {
    for (const call of [storage.listBuckets(), storage.from('none').list(), storage.from('none').upload('x', 'x')]) {
      const { data, error } = await call
      assert.equal(data, null)
      assert.match(error.message, /fetch/)
    }
    const seen = await fetch(`${URL_BASE}/status`).catch((error) => error)
    assert.equal(seen.name, 'TypeError')
  })
}

await finish()
