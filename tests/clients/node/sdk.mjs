// @aws-sdk/client-s3 and @aws-sdk/lib-storage as an application uses them, over http or (ENDPOINT=https://…) through TLS.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import {
  S3Client, CreateBucketCommand, ListBucketsCommand, HeadBucketCommand, DeleteBucketCommand, PutObjectCommand, GetObjectCommand, HeadObjectCommand,
  CopyObjectCommand, DeleteObjectCommand, DeleteObjectsCommand, ListObjectsV2Command, ListObjectsCommand, CreateMultipartUploadCommand,
  UploadPartCommand, UploadPartCopyCommand, CompleteMultipartUploadCommand, AbortMultipartUploadCommand, ListPartsCommand, ListMultipartUploadsCommand,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { finish, pattern, refused, test } from './cases.mjs'

const { ENDPOINT, ACCESS_KEY, SECRET_KEY, BUCKET } = process.env
const options = { forcePathStyle: true, region: 'stub', endpoint: ENDPOINT, maxAttempts: 1, credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY } }
const s3 = new S3Client(options)
const send = (command) => s3.send(command)
const bytes = async (answer) => Buffer.from(await answer.Body.transformToByteArray())
const get = async (Key, more) => bytes(await send(new GetObjectCommand({ Bucket: BUCKET, Key, ...more })))
const same = (a, b, what) => assert.ok(Buffer.compare(a, b) === 0, `${what}: bytes differ (${a.length} and ${b.length})`)

// What this suite is for: without payload modes seen on the wire, it would prove nothing about them.
const modes = new Set()
s3.middlewareStack.add((next) => async (args) => {
  modes.add(args.request.headers['x-amz-content-sha256'])
  return next(args)
}, { step: 'finalizeRequest', priority: 'low', name: 'modes' })

test('a bucket is made, seen and made only once', async () => {
  await send(new CreateBucketCommand({ Bucket: BUCKET }))
  await send(new HeadBucketCommand({ Bucket: BUCKET }))
  assert.ok((await send(new ListBucketsCommand({}))).Buckets.some((b) => b.Name === BUCKET && b.CreationDate instanceof Date))
  await refused(send(new CreateBucketCommand({ Bucket: BUCKET })), 'BucketAlreadyOwnedByYou', 409)
})

test('buffers, strings and empty bodies', async () => {
  for (const [key, body] of [['buffer', pattern(100_000)], ['string', Buffer.from('ünï')], ['empty', Buffer.alloc(0)]]) {
    await send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: key === 'string' ? 'ünï' : body, ContentType: 'text/x', Metadata: { a: '1' } }))
    same(await get(key), body, key)
    const head = await send(new HeadObjectCommand({ Bucket: BUCKET, Key: key }))
    assert.deepEqual([head.ContentLength, head.ContentType, head.Metadata], [body.length, 'text/x', { a: '1' }])
  }
})

test('streams of known length', async () => {
  const data = pattern(3_000_001, 2)
  const body = Readable.from((function* () { for (let i = 0; i < data.length; i += 70_000) yield data.subarray(i, i + 70_000) })())
  await send(new PutObjectCommand({ Bucket: BUCKET, Key: 'stream', Body: body, ContentLength: data.length }))
  same(await get('stream'), data, 'stream')
  assert.equal((await send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'stream' }))).ContentEncoding, undefined, 'aws-chunked came back')
})

test('an encoding of the user survives beside aws-chunked', async () => {
  await send(new PutObjectCommand({ Bucket: BUCKET, Key: 'plain', Body: Readable.from([Buffer.from('abc')]), ContentLength: 3 }))
  same(await get('plain'), Buffer.from('abc'), 'plain')
})

test('each checksum algorithm', async () => {
  for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256']) {
    const data = pattern(70_000, 3)
    await send(new PutObjectCommand({ Bucket: BUCKET, Key: 'sum', Body: data, ChecksumAlgorithm }))
    same(await get('sum'), data, ChecksumAlgorithm)
    await send(new PutObjectCommand({ Bucket: BUCKET, Key: 'sum', Body: Readable.from([data]), ContentLength: data.length, ChecksumAlgorithm }))
    same(await get('sum'), data, `${ChecksumAlgorithm}, streamed`)
  }
})

test('a wrong checksum is a BadDigest and stores nothing', async () => {
  const put = new PutObjectCommand({ Bucket: BUCKET, Key: 'bad', Body: 'abc', ChecksumCRC32: 'AAAAAA==' })
  await refused(send(put), 'BadDigest', 400)
  await refused(send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'bad' })), 'NotFound', 404)
})

test('ranges and conditions', async () => {
  const data = pattern(100_000)
  same(await get('buffer', { Range: 'bytes=10-19' }), data.subarray(10, 20), 'range')
  const { ETag } = await send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'buffer' }))
  await refused(send(new GetObjectCommand({ Bucket: BUCKET, Key: 'buffer', IfNoneMatch: ETag })), undefined, 304)
  await refused(send(new GetObjectCommand({ Bucket: BUCKET, Key: 'buffer', IfMatch: '"x"' })), 'PreconditionFailed', 412)
  await refused(send(new GetObjectCommand({ Bucket: BUCKET, Key: 'buffer', Range: 'bytes=100000-' })), 'InvalidRange', 416)
  await refused(send(new PutObjectCommand({ Bucket: BUCKET, Key: 'buffer', Body: 'x', IfNoneMatch: '*' })), 'PreconditionFailed', 412)
})

test('typed errors', async () => {
  await refused(send(new GetObjectCommand({ Bucket: BUCKET, Key: 'nope' })), 'NoSuchKey', 404)
  await refused(send(new ListObjectsV2Command({ Bucket: 'no-such-bucket' })), 'NoSuchBucket', 404)
  const stranger = new S3Client({ ...options, credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: 'wrong' } })
  await refused(stranger.send(new ListBucketsCommand({})), 'SignatureDoesNotMatch', 403)
})

test('lists in pages, by both versions', async () => {
  const names = ['l/a b', 'l/a+b', 'l/é', 'l/ü/1', 'l/ü/2', 'l/z&<']
  for (const Key of names) await send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: Key }))
  const found = []
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket: BUCKET, Prefix: 'l/' })) found.push(...(page.Contents ?? []).map((o) => o.Key))
  assert.deepEqual(found, [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
  const folded = await send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: 'l/', Delimiter: '/' }))
  assert.deepEqual([folded.KeyCount, folded.CommonPrefixes], [5, [{ Prefix: 'l/ü/' }]])
  assert.equal((await send(new ListObjectsCommand({ Bucket: BUCKET, Prefix: 'l/', MaxKeys: 1 }))).Contents.length, 1)
})

test('copies', async () => {
  await send(new CopyObjectCommand({ Bucket: BUCKET, Key: 'copy é', CopySource: `${BUCKET}/${encodeURIComponent('l/é')}` }))
  same(await get('copy é'), Buffer.from('l/é'), 'copy')
})

test('lib-storage uploads a long stream by parts', async () => {
  const data = pattern(17 * 1024 * 1024 + 3, 5)
  const body = Readable.from((function* () { for (let i = 0; i < data.length; i += 1_000_000) yield data.subarray(i, i + 1_000_000) })())
  const done = await new Upload({ client: s3, params: { Bucket: BUCKET, Key: 'lib/large', Body: body, ContentType: 'application/x-lib' }, queueSize: 3, partSize: 5 * 1024 * 1024 }).done()
  assert.match(done.ETag, /-4"$/)
  same(await get('lib/large'), data, 'lib-storage')
  assert.equal((await send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'lib/large' }))).ContentType, 'application/x-lib')
})

test('lib-storage uploads a short stream in one piece', async () => {
  await new Upload({ client: s3, params: { Bucket: BUCKET, Key: 'lib/short', Body: Readable.from([Buffer.from('short')]) } }).done()
  same(await get('lib/short'), Buffer.from('short'), 'short stream')
})

test('lib-storage leaves nothing behind when it is aborted', async () => {
  const upload = new Upload({ client: s3, params: { Bucket: BUCKET, Key: 'lib/aborted', Body: pattern(30 * 1024 * 1024, 6) }, queueSize: 1 })
  upload.on('httpUploadProgress', () => { upload.abort() })
  await refused(upload.done(), 'AbortError')
  await refused(send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'lib/aborted' })), 'NotFound', 404)
})

test('multipart by hand, with a copied part', async () => {
  const target = { Bucket: BUCKET, Key: 'mp' }
  const { UploadId } = await send(new CreateMultipartUploadCommand(target))
  const one = await send(new UploadPartCopyCommand({ ...target, UploadId, PartNumber: 1, CopySource: `${BUCKET}/lib/large`, CopySourceRange: 'bytes=0-5242879' }))
  const two = await send(new UploadPartCommand({ ...target, UploadId, PartNumber: 2, Body: 'tail' }))
  assert.deepEqual((await send(new ListPartsCommand({ ...target, UploadId }))).Parts.map((p) => p.PartNumber), [1, 2])
  assert.ok((await send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))).Uploads.some((u) => u.UploadId === UploadId))
  await send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag: one.CopyPartResult.ETag }, { PartNumber: 2, ETag: two.ETag }] } }))
  same(await get('mp', { Range: 'bytes=5242878-' }), Buffer.concat([pattern(17 * 1024 * 1024 + 3, 5).subarray(5242878, 5242880), Buffer.from('tail')]), 'seam')
  const again = await send(new CreateMultipartUploadCommand(target))
  await send(new AbortMultipartUploadCommand({ ...target, UploadId: again.UploadId }))
  await refused(send(new ListPartsCommand({ ...target, UploadId: again.UploadId })), 'NoSuchUpload', 404)
})

test('the payload modes meant to be tested were used', async () => {
  if (ENDPOINT.startsWith('https:')) assert.ok(modes.has('STREAMING-UNSIGNED-PAYLOAD-TRAILER'), `modes seen: ${[...modes].join(', ')}`)
  else assert.ok([...modes].some((mode) => /^[0-9a-f]{64}$/.test(mode)), `modes seen: ${[...modes].join(', ')}`)
})

test('deletes, one and many, and the bucket at last', async () => {
  await send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'never was' }))
  await refused(send(new DeleteBucketCommand({ Bucket: BUCKET })), 'BucketNotEmpty', 409)
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: BUCKET })) {
    const answer = await send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })) } }))
    assert.deepEqual([answer.Deleted.length, answer.Errors ?? []], [page.Contents.length, []])
  }
  await send(new DeleteBucketCommand({ Bucket: BUCKET }))
})

await finish()
