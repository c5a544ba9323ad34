// Resumable uploads as Supabase documents them: tus-js-client and Uppy beside @supabase/supabase-js, in Node, and in a page of a
// browser on another origin.
import assert from 'node:assert/strict'
import * as tus from 'tus-js-client'
import Uppy from '@uppy/core'
import UppyTus from '@uppy/tus'
import { createClient } from '@supabase/supabase-js'
import { environment, finish, inBrowser, pattern, sameBytes, test } from './cases.mjs'

const { URL_BASE, PUBLISHABLE, SECRET, ALICE, BOB, RUN, FOLDER } = environment
const MIB = 1024 * 1024
const endpoint = `${URL_BASE}/storage/v1/upload/resumable`
const realtime = { transport: class {} }
const fetch = (url, options) => globalThis.fetch(url, { cache: 'no-store', ...options })
const open = (key, token) => createClient(URL_BASE, key, { realtime, global: { fetch }, auth: { persistSession: false }, ...(token ? { accessToken: async () => token } : {}) }).storage
const service = open(SECRET), alice = open(PUBLISHABLE, ALICE)
const bucket = `tus-${RUN}`

/** What a page picks is a File; Node has Buffers. */
const source = (data, name = 'file.bin') => (inBrowser ? new File([data], name, { type: 'application/octet-stream' }) : data)

/** Runs an upload to its end; `more` are options of tus-js-client, `then` sees it before it starts. */
function upload(data, objectName, { headers = {}, metadata = {}, token = ALICE, ...more } = {}, then = () => {}) {
  return new Promise((done, fail) => {
    const it = new tus.Upload(data, {
      endpoint, retryDelays: [0, 100, 200, 500], chunkSize: 6 * MIB, uploadDataDuringCreation: true, removeFingerprintOnSuccess: true,
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), apikey: PUBLISHABLE, ...headers },
      metadata: { bucketName: bucket, objectName, contentType: 'image/png', cacheControl: '3600', metadata: JSON.stringify({ of: objectName }), ...metadata },
      onError: fail, onSuccess: () => done(it), ...more,
    })
    then(it)
    it.start()
  })
}

async function stored(objectName) {
  const { data, error } = await service.from(bucket).download(objectName)
  assert.equal(error, null, error?.message)
  return new Uint8Array(await data.arrayBuffer())
}

/** What an upload must be refused with. */
async function refused(promise, status, text) {
  try {
    await promise
  } catch (error) {
    assert.equal(error.originalResponse?.getStatus(), status, error.message)
    if (text) assert.equal(error.originalResponse.getBody(), text)
    return
  }
  assert.fail(`succeeded where ${status} was due`)
}

test('the documented way: a file in chunks of 6 MiB', async () => {
  const { error } = await service.createBucket(bucket, { fileSizeLimit: 40 * MIB })
  assert.equal(error, null, error?.message)
  const data = pattern(13 * MIB + 7, 3), seen = []
  const it = await upload(source(data), 'own/13.png', { onProgress: (sent, of) => seen.push([sent, of]) })
  assert.ok(it.url.startsWith(endpoint + '/'), it.url)
  assert.deepEqual(seen.at(-1), [data.length, data.length])
  sameBytes(await stored('own/13.png'), data, 'the object')
  const { data: info } = await alice.from(bucket).info('own/13.png')
  assert.deepEqual([info.size, info.contentType, info.cacheControl, info.metadata], [data.length, 'image/png', 'max-age=3600', { of: 'own/13.png' }])
})

test('pause and go on', async () => {
  const data = pattern(5 * MIB, 4)
  let paused = false
  await upload(source(data), 'own/paused.png', {
    chunkSize: MIB,
    async onChunkComplete(size, accepted) {
      if (paused || accepted < 2 * MIB) return
      paused = true
      await this.pause()
    },
  }, (it) => {
    it.options.pause = async () => { await it.abort(); setTimeout(() => it.start(), 100) }
  })
  assert.ok(paused)
  sameBytes(await stored('own/paused.png'), data, 'the object')
})

test('a request that is cut off in the middle is gone on with', async () => {
  const data = pattern(9 * MIB, 5)
  let cut = 0
  await upload(source(data), 'own/cut.png', {
    chunkSize: Infinity, uploadDataDuringCreation: false,
    onProgress(sent) {
      if (cut || sent < 4 * MIB) return
      cut = sent
      this.again()
    },
  }, (it) => {
    it.options.again = () => { it.abort().then(() => setTimeout(() => it.start(), 50)) }
  })
  assert.ok(cut > 0, 'it was never cut')
  sameBytes(await stored('own/cut.png'), data, 'the object')
})

test('a page that was closed finds its upload again', async () => {
  const data = pattern(4 * MIB, 6)
  const known = inBrowser ? {} : { urlStorage: new tus.FileUrlStorage(`${FOLDER}/uploads-${RUN}.json`), fingerprint: async () => `print-${RUN}` }
  const file = source(data, 'again.bin')
  let first
  await new Promise((stopped) => {
    upload(file, 'own/again.png', { chunkSize: MIB, ...known, async onChunkComplete(size, accepted) { if (accepted >= 2 * MIB) { await first.abort(); stopped() } } }, (it) => { first = it })
  })
  let at = -1
  await new Promise((done, fail) => {
    const second = new tus.Upload(file, { endpoint, chunkSize: MIB, ...known, headers: { authorization: `Bearer ${ALICE}` }, metadata: { bucketName: bucket, objectName: 'own/again.png' },
      onProgress: (sent) => { if (at < 0) at = sent }, onError: fail, onSuccess: done })
    second.findPreviousUploads().then((previous) => {
      assert.equal(previous.length, 1)
      second.resumeFromPreviousUpload(previous[0])
      second.start()
    }).catch(fail)
  })
  assert.ok(at >= 2 * MIB, `it began at ${at}`)
  sameBytes(await stored('own/again.png'), data, 'the object')
})

test('a length that is known at the end', async () => {
  const data = pattern(3 * MIB + 11, 7)
  const pieces = (function* () { for (let i = 0; i < data.length; i += 65_536) yield data.subarray(i, i + 65_536) })()
  const stream = new ReadableStream({ pull(to) { const { value, done } = pieces.next(); if (done) to.close(); else to.enqueue(new Uint8Array(value)) } })
  const from = inBrowser ? stream.getReader() : (await import('node:stream')).Readable.fromWeb(stream)
  await upload(from, 'own/deferred.png', { uploadLengthDeferred: true, uploadDataDuringCreation: false, chunkSize: MIB })
  sameBytes(await stored('own/deferred.png'), data, 'the object')
})

test('an empty file', async () => {
  await upload(source(pattern(0)), 'own/empty.png')
  assert.equal((await stored('own/empty.png')).length, 0)
})

test('PATCH by another name', async () => {
  const data = pattern(2 * MIB, 8)
  await upload(source(data), 'own/override.png', { overridePatchMethod: true, chunkSize: MIB })
  sameBytes(await stored('own/override.png'), data, 'the object')
})

test('an upload is given up', async () => {
  const data = pattern(3 * MIB, 9)
  let it
  await new Promise((done, fail) => {
    upload(source(data), 'own/given-up.png', { chunkSize: MIB, async onChunkComplete() { it.abort(true).then(done, fail) } }, (started) => { it = started }).catch(fail)
  })
  await refused(new Promise((done, fail) => {
    const again = new tus.Upload(source(data), { endpoint: null, uploadUrl: it.url, retryDelays: null, headers: { authorization: `Bearer ${ALICE}` }, onError: fail, onSuccess: done })
    again.start()
  }), 404)
})

test('a name is taken unless it may be replaced', async () => {
  const data = pattern(1000, 10)
  await refused(upload(source(data), 'own/13.png', { retryDelays: null }), 409, 'The resource already exists')
  await upload(source(data), 'own/13.png', { headers: { 'x-upsert': 'true' } })
  sameBytes(await stored('own/13.png'), data, 'the object')
})

test('policies and limits refuse before the bytes', async () => {
  const data = source(pattern(1000, 11))
  await refused(upload(data, 'own/bob.png', { token: BOB }), 403, 'new row violates row-level security policy')
  await refused(upload(data, 'nowhere.png', { metadata: { bucketName: 'none' } }), 404, 'Bucket not found')
  await refused(upload(source(pattern(41 * MIB, 1)), 'own/large.png'), 413, 'Maximum size exceeded\n')
  await refused(upload(source(pattern(2 * MIB, 1)), 'own/parallel.png', { parallelUploads: 2, uploadDataDuringCreation: false, retryDelays: null }), 501)
})

test('a signed token', async () => {
  const { data: signed, error } = await alice.from(bucket).createSignedUploadUrl('own/signed.png')
  assert.equal(error, null, error?.message)
  const data = pattern(2 * MIB, 12)
  const it = await upload(source(data), 'own/signed.png', { endpoint: `${endpoint}/sign`, chunkSize: MIB, headers: { 'x-signature': signed.token }, token: '' })
  assert.ok(it.url.startsWith(`${endpoint}/sign/`), it.url)
  sameBytes(await stored('own/signed.png'), data, 'the object')
})

// What Uppy takes is a page's File.
if (inBrowser) test('Uppy, paused and gone on with', async () => {
  const data = pattern(8 * MIB + 5, 13)
  const uppy = new Uppy({ autoProceed: false })
  uppy.use(UppyTus, { endpoint, headers: { authorization: `Bearer ${ALICE}`, apikey: PUBLISHABLE }, chunkSize: 2 * MIB, retryDelays: [0, 100, 500], uploadDataDuringCreation: true, removeFingerprintOnSuccess: true,
    allowedMetaFields: ['bucketName', 'objectName', 'contentType', 'cacheControl', 'metadata'] })
  const id = uppy.addFile({ name: 'uppy.png', type: 'image/png', data: new Blob([data], { type: 'image/png' }), meta: { bucketName: bucket, objectName: 'own/uppy.png', contentType: 'image/png' } })
  let paused = false
  uppy.on('upload-progress', (file, progress) => {
    if (paused || progress.bytesUploaded < 3 * MIB) return
    paused = true
    uppy.pauseResume(id)
    setTimeout(() => uppy.pauseResume(id), 200)
  })
  const result = await uppy.upload()
  assert.deepEqual([result.failed.map((file) => file.error), result.successful.length], [[], 1])
  sameBytes(await stored('own/uppy.png'), data, 'the object')
})

await finish()
