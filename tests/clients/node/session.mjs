// The session-token example of the guide: what a signed-in user of an application may do through the S3 protocol.
import assert from 'node:assert/strict'
import { S3Client, PutObjectCommand, GetObjectCommand, HeadObjectCommand, DeleteObjectCommand, DeleteObjectsCommand, CopyObjectCommand, ListObjectsV2Command, CreateBucketCommand } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { finish, pattern, refused, test } from './cases.mjs'

const { ENDPOINT, ANON_KEY, SERVICE_KEY, ACCESS_KEY, SECRET_KEY, TENANT, ALICE, BOB } = process.env
const Bucket = 'mine'
const user = (sessionToken) => new S3Client({
  forcePathStyle: true, region: 'stub', endpoint: ENDPOINT, maxAttempts: 1,
  credentials: { accessKeyId: TENANT, secretAccessKey: ANON_KEY, sessionToken },
})
const alice = user(ALICE), bob = user(BOB), anon = user(ANON_KEY), service = user(SERVICE_KEY)
const admin = new S3Client({ forcePathStyle: true, region: 'stub', endpoint: ENDPOINT, maxAttempts: 1, credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY } })
const put = (who, Key, Body, more) => who.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
const text = async (who, Key) => (await who.send(new GetObjectCommand({ Bucket, Key }))).Body.transformToString()
const list = async (who) => ((await who.send(new ListObjectsV2Command({ Bucket }))).Contents ?? []).map((o) => o.Key)

test('own files are written and read', async () => {
  await put(alice, 'alice.txt', 'of alice')
  await put(bob, 'bob.txt', 'of bob')
  await put(admin, 'admin.txt', 'of nobody')
  assert.equal(await text(alice, 'alice.txt'), 'of alice')
  await put(alice, 'alice.txt', 'changed')
  assert.equal(await text(alice, 'alice.txt'), 'changed')
})

test('files of others are invisible', async () => {
  for (const [who, key] of [[alice, 'bob.txt'], [bob, 'alice.txt'], [alice, 'admin.txt'], [anon, 'alice.txt']]) {
    await refused(who.send(new GetObjectCommand({ Bucket, Key: key })), 'NoSuchKey', 404)
    await refused(who.send(new HeadObjectCommand({ Bucket, Key: key })), 'NotFound', 404)
  }
})

test('a list shows permitted rows alone', async () => {
  assert.deepEqual(await list(alice), ['alice.txt'])
  assert.deepEqual(await list(bob), ['bob.txt'])
  assert.deepEqual(await list(anon), [])
  assert.deepEqual(await list(service), ['admin.txt', 'alice.txt', 'bob.txt'])
  assert.deepEqual(await list(admin), ['admin.txt', 'alice.txt', 'bob.txt'])
})

test('overwriting the file of another is denied and changes nothing', async () => {
  await refused(put(bob, 'alice.txt', 'evil'), 'AccessDenied', 403)
  await refused(put(bob, 'admin.txt', 'evil'), 'AccessDenied', 403)
  assert.equal(await text(admin, 'alice.txt'), 'changed')
  assert.equal(await text(admin, 'admin.txt'), 'of nobody')
})

test('an insert without a policy is denied', async () => {
  await refused(put(anon, 'anon.txt', 'x'), 'AccessDenied', 403)
  await refused(alice.send(new PutObjectCommand({ Bucket: 'closed', Key: 'x', Body: 'x' })), 'AccessDenied', 403)
  await refused(alice.send(new CreateBucketCommand({ Bucket: 'new-bucket' })), 'AccessDenied', 403)
})

test('the file of another is not deleted', async () => {
  // A row that may not be seen is one that is not there: S3 answers success, and nothing happens.
  await bob.send(new DeleteObjectCommand({ Bucket, Key: 'alice.txt' })).catch((error) => assert.equal(error.name, 'AccessDenied'))
  await bob.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'alice.txt' }, { Key: 'admin.txt' }] } }))
  assert.deepEqual(await list(admin), ['admin.txt', 'alice.txt', 'bob.txt'])
})

test('copies need sight of the source and the right to insert', async () => {
  await alice.send(new CopyObjectCommand({ Bucket, Key: 'alice-copy.txt', CopySource: `${Bucket}/alice.txt` }))
  assert.equal(await text(alice, 'alice-copy.txt'), 'changed')
  await refused(bob.send(new CopyObjectCommand({ Bucket, Key: 'stolen.txt', CopySource: `${Bucket}/alice.txt` })), 'NoSuchKey', 404)
  await refused(alice.send(new CopyObjectCommand({ Bucket: 'closed', Key: 'x', CopySource: `${Bucket}/alice.txt` })), 'AccessDenied', 403)
})

test('a multipart upload belongs to its user', async () => {
  const data = pattern(11 * 1024 * 1024, 7)
  await new Upload({ client: alice, params: { Bucket, Key: 'alice-large', Body: data } }).done()
  const back = Buffer.from(await (await alice.send(new GetObjectCommand({ Bucket, Key: 'alice-large' }))).Body.transformToByteArray())
  assert.ok(back.equals(data), 'bytes differ')
  await refused(bob.send(new GetObjectCommand({ Bucket, Key: 'alice-large' })), 'NoSuchKey', 404)
  await refused(new Upload({ client: anon, params: { Bucket, Key: 'anon-large', Body: data } }).done(), 'AccessDenied')
})

test('own files are deleted', async () => {
  await alice.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'alice-copy.txt' }, { Key: 'alice-large' }] } }))
  await alice.send(new DeleteObjectCommand({ Bucket, Key: 'alice.txt' }))
  assert.deepEqual(await list(admin), ['admin.txt', 'bob.txt'])
})

test('a token signed by someone else opens nothing', async () => {
  const [head, body] = ALICE.split('.')
  await refused(list(user(`${head}.${body}.${'A'.repeat(43)}`)), 'InvalidToken', 400)
})

await finish()
