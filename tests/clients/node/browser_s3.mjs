// @aws-sdk/client-s3, lib-storage, the presigner and the POST presigner in a page on another origin.
import assert from 'node:assert/strict'
import {
  S3Client, CreateBucketCommand, ListBucketsCommand, HeadBucketCommand, DeleteBucketCommand, PutObjectCommand, GetObjectCommand, HeadObjectCommand, CopyObjectCommand,
  DeleteObjectsCommand, ListObjectsV2Command, CreateMultipartUploadCommand, UploadPartCommand, CompleteMultipartUploadCommand, AbortMultipartUploadCommand,
  ListPartsCommand, GetObjectAttributesCommand, PutObjectTaggingCommand, GetObjectTaggingCommand, paginateListObjectsV2,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { environment, finish, pattern, refused, sameBytes, test } from './cases.mjs'

const { URL_BASE, STREAM_URL_BASE, ACCESS_KEY, SECRET_KEY, ANON_KEY, TENANT, ALICE, BOB } = environment
const Bucket = 'page'
const connect = (credentials, base = URL_BASE, more = {}) => new S3Client({ forcePathStyle: true, region: 'stub', endpoint: `${base}/storage/v1/s3`, maxAttempts: 1, credentials, ...more })
const keys = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY }
const s3 = connect(keys), tls = connect(keys, STREAM_URL_BASE)
const user = (sessionToken) => connect({ accessKeyId: TENANT, secretAccessKey: ANON_KEY, sessionToken })
const send = (command) => s3.send(command)
const get = async (Key, more) => (await send(new GetObjectCommand({ Bucket, Key, ...more }))).Body.transformToByteArray()
const head = (Key) => send(new HeadObjectCommand({ Bucket, Key }))

test('buckets', async () => {
  await send(new CreateBucketCommand({ Bucket }))
  await send(new HeadBucketCommand({ Bucket }))
  assert.ok((await send(new ListBucketsCommand({}))).Buckets.some((one) => one.Name === Bucket))
})

test('bodies of every kind, with what describes them', async () => {
  // Over plain HTTP the SDK would sum up a Blob in a way that fails in the page itself (readableStream.getReader is not a function).
  const plain = connect(keys, URL_BASE, { requestChecksumCalculation: 'WHEN_REQUIRED' })
  const data = pattern(200_000)
  const bodies = { bytes: data, text: 'ünï', blob: new Blob([data]), file: new File([data], 'f.bin', { type: 'image/png' }), empty: '', view: data.subarray(5, 1005) }
  for (const [key, body] of Object.entries(bodies)) {
    const put = await (body instanceof Blob ? plain : s3).send(new PutObjectCommand({ Bucket, Key: `kinds/${key} é+`, Body: body, ContentType: 'text/x', CacheControl: 'no-store', ContentDisposition: 'inline', ContentLanguage: 'de', Metadata: { colour: 'red', 'two-words': 'x' } }))
    assert.match(put.ETag, /^"[0-9a-f]{32}"$/)
    sameBytes(await get(`kinds/${key} é+`), body instanceof Blob ? data : body, key)
    const it = await head(`kinds/${key} é+`)
    assert.deepEqual([it.ETag, it.ContentType, it.CacheControl, it.ContentDisposition, it.ContentLanguage, it.Metadata], [put.ETag, 'text/x', 'no-store', 'inline', 'de', { colour: 'red', 'two-words': 'x' }])
  }
})

test('checksums', async () => {
  const data = pattern(70_000, 3)
  for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256']) {
    const field = `Checksum${ChecksumAlgorithm}`
    // A key for each: the browser caches, and asks whether the entity tag is still the same.
    const Key = `sum/${ChecksumAlgorithm}`
    const put = await send(new PutObjectCommand({ Bucket, Key, Body: data, ChecksumAlgorithm }))
    assert.ok(put[field], `${field} of the answer`)
    const got = await send(new GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
    sameBytes(await got.Body.transformToByteArray(), data, ChecksumAlgorithm)
    assert.equal(got[field], put[field])
  }
  await refused(send(new PutObjectCommand({ Bucket, Key: 'bad', Body: 'abc', ChecksumCRC32: 'AAAAAA==' })), 'BadDigest', 400)
  await refused(head('bad'), 'NotFound', 404)
})

test('errors are read, with their request ids', async () => {
  const error = await refused(get('none'), 'NoSuchKey', 404)
  assert.ok(error.$metadata.requestId && error.$metadata.extendedRequestId, JSON.stringify(error.$metadata))
  await refused(connect({ ...keys, secretAccessKey: 'wrong' }).send(new ListBucketsCommand({})), 'SignatureDoesNotMatch', 403)
  await refused(send(new ListObjectsV2Command({ Bucket: 'no-such-bucket' })), 'NoSuchBucket', 404)
})

test('ranges and conditions', async () => {
  const data = pattern(100_000, 4)
  const { ETag } = await send(new PutObjectCommand({ Bucket, Key: 'range', Body: data }))
  const part = await send(new GetObjectCommand({ Bucket, Key: 'range', Range: 'bytes=10-19' }))
  assert.deepEqual([part.ContentRange, part.ContentLength, part.AcceptRanges], ['bytes 10-19/100000', 10, 'bytes'])
  sameBytes(await part.Body.transformToByteArray(), data.subarray(10, 20), 'range')
  await refused(get('range', { IfNoneMatch: ETag }), undefined, 304)
  await refused(get('range', { IfMatch: '"x"' }), 'PreconditionFailed', 412)
  await refused(send(new PutObjectCommand({ Bucket, Key: 'range', Body: 'x', IfNoneMatch: '*' })), 'PreconditionFailed', 412)
})

test('lists, copies, tags and attributes', async () => {
  for (const Key of ['l/a b', 'l/a+b', 'l/ü/1', 'l/z&<']) await send(new PutObjectCommand({ Bucket, Key, Body: Key }))
  const found = []
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket, Prefix: 'l/' })) found.push(...(page.Contents ?? []).map((one) => one.Key))
  assert.deepEqual(found, ['l/a b', 'l/a+b', 'l/z&<', 'l/ü/1'])
  const folded = await send(new ListObjectsV2Command({ Bucket, Prefix: 'l/', Delimiter: '/' }))
  assert.deepEqual([folded.KeyCount, folded.CommonPrefixes.map((one) => one.Prefix)], [4, ['l/ü/']])
  await send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/${encodeURIComponent('l/ü/1')}` }))
  await send(new PutObjectTaggingCommand({ Bucket, Key: 'copy', Tagging: { TagSet: [{ Key: 'a', Value: 'b c' }] } }))
  assert.deepEqual((await send(new GetObjectTaggingCommand({ Bucket, Key: 'copy' }))).TagSet, [{ Key: 'a', Value: 'b c' }])
  const copy = await send(new GetObjectCommand({ Bucket, Key: 'copy' }))
  assert.deepEqual([await copy.Body.transformToString(), copy.TagCount], ['l/ü/1', 1])
  assert.equal((await send(new GetObjectAttributesCommand({ Bucket, Key: 'copy', ObjectAttributes: ['ObjectSize'] }))).ObjectSize, 6)
})

test('lib-storage uploads files, over HTTP and over TLS', async () => {
  const data = pattern(11 * 1024 * 1024 + 3, 5)
  for (const [label, client] of [['http', s3], ['tls', tls]]) {
    let seen = 0
    const upload = new Upload({ client, params: { Bucket, Key: `lib/${label}`, Body: new File([data], 'video'), ContentType: 'video/x' }, queueSize: 3 })
    upload.on('httpUploadProgress', ({ loaded }) => { seen = loaded })
    assert.match((await upload.done()).ETag, /-3"$/)
    assert.equal(seen, data.length)
    sameBytes(await get(`lib/${label}`), data, label)
    assert.equal((await head(`lib/${label}`)).ContentType, 'video/x')
  }
  await new Upload({ client: s3, params: { Bucket, Key: 'lib/stream', Body: new Blob([data]).stream() } }).done()
  sameBytes(await get('lib/stream'), data, 'a stream')
})

test('lib-storage leaves nothing behind when it is aborted', async () => {
  const upload = new Upload({ client: s3, params: { Bucket, Key: 'lib/aborted', Body: new Blob([pattern(16 * 1024 * 1024, 6)]) }, queueSize: 1 })
  upload.on('httpUploadProgress', () => { upload.abort() })
  await refused(upload.done(), 'AbortError')
  await refused(head('lib/aborted'), 'NotFound', 404)
})

test('multipart by hand', async () => {
  const target = { Bucket, Key: 'mp' }
  const { UploadId } = await send(new CreateMultipartUploadCommand(target))
  const Parts = []
  for (const [i, body] of [pattern(5 * 1024 * 1024, 7), 'tail'].entries()) {
    const { ETag } = await send(new UploadPartCommand({ ...target, UploadId, PartNumber: i + 1, Body: body }))
    assert.ok(ETag, 'the ETag of a part is to be read, or nobody could complete an upload')
    Parts.push({ PartNumber: i + 1, ETag })
  }
  assert.deepEqual((await send(new ListPartsCommand({ ...target, UploadId }))).Parts.map((part) => part.Size), [5 * 1024 * 1024, 4])
  await send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }))
  sameBytes(await get('mp', { Range: 'bytes=5242880-' }), 'tail', 'the last part')
  const again = await send(new CreateMultipartUploadCommand(target))
  await send(new AbortMultipartUploadCommand({ ...target, UploadId: again.UploadId }))
})

test('presigned URLs', async () => {
  const at = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: 'signed é', ContentType: 'text/plain' }), { expiresIn: 60 })
  const put = await fetch(at, { method: 'PUT', body: new File(['by url'], 'x'), headers: { 'content-type': 'text/plain' } })
  assert.equal(put.status, 200, await put.text())
  const { ETag } = await head('signed é')
  assert.equal(put.headers.get('etag'), ETag)
  const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: 'signed é', ResponseContentDisposition: 'attachment; filename="x.txt"' }), { expiresIn: 60 })
  const got = await fetch(url, { headers: { range: 'bytes=0-1' } })
  assert.deepEqual([got.status, await got.text(), got.headers.get('content-range'), got.headers.get('content-disposition')], [206, 'by', 'bytes 0-1/6', 'attachment; filename="x.txt"'])
  for (const name of ['etag', 'x-amz-request-id', 'accept-ranges', 'content-length']) assert.ok(got.headers.get(name), `${name} is hidden`)
  const part = await send(new CreateMultipartUploadCommand({ Bucket, Key: 'signed part' }))
  const partUrl = await getSignedUrl(s3, new UploadPartCommand({ Bucket, Key: 'signed part', UploadId: part.UploadId, PartNumber: 1 }), { expiresIn: 60 })
  const sent = await fetch(partUrl, { method: 'PUT', body: 'the only part' })
  await send(new CompleteMultipartUploadCommand({ Bucket, Key: 'signed part', UploadId: part.UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag: sent.headers.get('etag') }] } }))
  sameBytes(await get('signed part'), 'the only part', 'a part by URL')
  const forged = await fetch(at.replace(/Signature=[0-9a-f]{8}/, 'Signature=00000000'), { method: 'PUT', body: 'x', headers: { 'content-type': 'text/plain' } })
  assert.equal(forged.status, 403)
  assert.match(await forged.text(), /SignatureDoesNotMatch/)
})

test('streams to a presigned URL over HTTP/2', async () => {
  const at = await getSignedUrl(tls, new PutObjectCommand({ Bucket, Key: 'streamed' }), { expiresIn: 60 })
  const data = pattern(1_000_000, 8)
  const put = await fetch(at, { method: 'PUT', body: new Blob([data]).stream(), duplex: 'half' })
  assert.equal(put.status, 200, await put.text())
  sameBytes(await get('streamed'), data, 'a stream')
})

function filled(fields, file) {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append('file', file)
  return form
}

test('a form by FormData', async () => {
  const data = pattern(1_500_000, 9)
  const Fields = { 'Content-Type': 'image/png', success_action_status: '201', 'x-amz-meta-colour': 'red' }
  const Conditions = [['content-length-range', 1, 2_000_000], ['starts-with', '$Content-Type', 'image/'], { success_action_status: '201' }, { 'x-amz-meta-colour': 'red' }]
  const { url, fields } = await createPresignedPost(s3, { Bucket, Key: 'forms/${filename}', Fields, Conditions, Expires: 60 })
  const answer = await fetch(url, { method: 'POST', body: filled(fields, new File([data], 'ü b.png', { type: 'image/png' })) })
  const text = await answer.text()
  assert.equal(answer.status, 201, text)
  const made = new DOMParser().parseFromString(text, 'text/xml')
  assert.deepEqual(['Bucket', 'Key', 'ETag'].map((name) => made.querySelector(name).textContent), [Bucket, 'forms/ü b.png', answer.headers.get('etag')])
  assert.equal(new URL(made.querySelector('Location').textContent).pathname, '/storage/v1/s3/page/forms/%C3%BC%20b.png')
  assert.ok(answer.headers.get('location'), 'Location is hidden')
  sameBytes(await get('forms/ü b.png'), data, 'a form')
  const it = await head('forms/ü b.png')
  assert.deepEqual([it.ContentType, it.Metadata], ['image/png', { colour: 'red' }])
  for (const [what, more, size, code] of [['too large', {}, 2_000_001, 'EntityTooLarge'], ['a field too many', { 'x-amz-meta-other': 'x' }, 5, 'AccessDenied'], ['another type', { 'Content-Type': 'text/html' }, 5, 'AccessDenied']]) {
    const bad = await fetch(url, { method: 'POST', body: filled({ ...fields, ...more }, new File([pattern(size)], 'bad')) })
    assert.ok([400, 403].includes(bad.status), `${what}: ${bad.status}`)
    const text = await bad.text()
    assert.match(text, new RegExp(`<Code>${code}</Code>`), `${what}: ${text}`)
  }
  await refused(head('forms/bad'), 'NotFound', 404)
})

test('a form as HTML, and back to the page', async () => {
  const back = `${location.origin}/landed`
  const { url, fields } = await createPresignedPost(s3, { Bucket, Key: 'html/${filename}', Conditions: [{ success_action_redirect: back }], Fields: { success_action_redirect: back } })
  const frame = Object.assign(document.createElement('iframe'), { name: 'target' })
  const form = Object.assign(document.createElement('form'), { action: url, method: 'post', enctype: 'multipart/form-data', target: 'target' })
  for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }))
  const files = new DataTransfer()
  files.items.add(new File(['by hand'], 'hand.txt', { type: 'text/plain' }))
  form.append(Object.assign(document.createElement('input'), { type: 'file', name: 'file', files: files.files }))
  document.body.append(frame, form)
  const landed = new Promise((resolve) => { frame.onload = () => resolve(new URL(frame.contentWindow.location.href)) })
  form.submit()
  const at = await landed
  assert.deepEqual([at.origin + at.pathname, at.searchParams.get('bucket'), at.searchParams.get('key')], [back, Bucket, 'html/hand.txt'])
  assert.equal(at.searchParams.get('etag'), (await head('html/hand.txt')).ETag)
  sameBytes(await get('html/hand.txt'), 'by hand', 'a form by hand')
})

test('users with session tokens', async () => {
  const [alice, bob] = [user(ALICE), user(BOB)]
  const mine = { Bucket: 'mine', Key: 'page.txt' }
  await alice.send(new PutObjectCommand({ ...mine, Body: 'of alice' }))
  assert.equal(await (await alice.send(new GetObjectCommand(mine))).Body.transformToString(), 'of alice')
  await refused(bob.send(new GetObjectCommand(mine)), 'NoSuchKey', 404)
  await refused(bob.send(new PutObjectCommand({ ...mine, Body: 'evil' })), 'AccessDenied', 403)
  assert.deepEqual((await bob.send(new ListObjectsV2Command({ Bucket: 'mine' }))).Contents ?? [], [])
  const url = await getSignedUrl(alice, new GetObjectCommand(mine), { expiresIn: 60 })
  assert.equal(await (await fetch(url)).text(), 'of alice')
  const { url: at, fields } = await createPresignedPost(alice, { Bucket: 'mine', Key: 'form.txt' })
  assert.equal((await fetch(at, { method: 'POST', body: filled(fields, new File(['a form of alice'], 'x')) })).status, 204)
  assert.equal(await (await alice.send(new GetObjectCommand({ Bucket: 'mine', Key: 'form.txt' }))).Body.transformToString(), 'a form of alice')
  await refused(bob.send(new HeadObjectCommand({ Bucket: 'mine', Key: 'form.txt' })), 'NotFound', 404)
})

test('all is deleted at last', async () => {
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket })) {
    const answer = await send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })) } }))
    assert.deepEqual([answer.Deleted.length, answer.Errors ?? []], [page.Contents.length, []])
  }
  await send(new DeleteBucketCommand({ Bucket }))
})

await finish()
