// Runs a suite in a page of Chromium whose origin is not the server's, so that the browser enforces CORS on every call.
//
// SUITE is the script, URL_BASE the server, VARIABLES the names (with commas) of what else the page is told, APP_PORT the
// page's port if it matters. The page reports its lines to where it came from. Browsers stream uploads over HTTP/2 only, so
// STREAM_URL_BASE is the same server behind a proxy that speaks it, as any server on the internet is.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { build } from 'esbuild'

const { SUITE, URL_BASE, CHROMIUM, TLS_KEY, TLS_CERTIFICATE, VARIABLES = '', APP_PORT = '0' } = process.env
const server = new URL(URL_BASE)

/** The suite and its packages as one script for the page. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [SUITE], bundle: true, write: false, format: 'esm', platform: 'browser', target: 'es2022', logLevel: 'error',
    alias: { 'node:assert/strict': './browser_assert.mjs', 'node:stream': './browser_stream.mjs' },
  })
  return outputFiles[0].text
}

/** A proxy with TLS and HTTP/2 in front of the server; the names of hop-by-hop headers do not exist in HTTP/2. */
async function proxy() {
  const front = http2.createSecureServer({ key: await readFile(TLS_KEY), cert: await readFile(TLS_CERTIFICATE) })
  front.on('stream', (stream, headers) => {
    const { ':method': method, ':path': path, ':authority': host } = headers
    const fields = Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(':')))
    const request = http.request({ host: server.hostname, port: server.port, method, path, headers: { ...fields, host, 'x-forwarded-proto': 'https' } })
    const end = () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
    request.on('error', end)
    stream.on('error', () => request.destroy())
    request.on('response', (answer) => {
      const { connection, 'keep-alive': kept, 'transfer-encoding': coding, ...rest } = answer.headers
      stream.respond({ ':status': answer.statusCode, ...rest })
      answer.on('error', end)
      answer.pipe(stream)
    })
    stream.pipe(request)
  })
  await new Promise((ready) => front.listen(0, '127.0.0.1', ready))
  return front
}

/** Serves the page; its reports go to `line`. */
async function app(script, environment, line) {
  const page = `<!doctype html><meta charset="utf-8"><title>suite</title>
    <script>window.environment = ${JSON.stringify(environment).replaceAll('<', '\\u003c')}
    const report = (event) => fetch('/line', { method: 'POST', body: 'page: ' + (event.reason?.stack ?? event.message ?? event) })
    addEventListener('error', report); addEventListener('unhandledrejection', report)</script>
    <script type="module" src="/suite.js"></script>`
  const server = http.createServer(async (request, response) => {
    const parts = []
    for await (const part of request) parts.push(part)
    const [type, text] = { '/': ['text/html', page], '/suite.js': ['text/javascript', script] }[new URL(request.url, 'http://a').pathname] ?? ['text/html', '<!doctype html><p>landed']
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' }).end(text)
    if (request.url === '/line') line(Buffer.concat(parts).toString())
  })
  await new Promise((ready) => server.listen(Number(APP_PORT), '127.0.0.1', ready))
  return server
}

const front = await proxy()
const told = Object.fromEntries(VARIABLES.split(',').filter(Boolean).map((name) => [name, process.env[name]]))
const profile = await mkdtemp(path.join(tmpdir(), 'rowlock-chromium-'))
let chromium
try {
  await new Promise(async (done, fail) => {
    const page = await app(await bundle(), { ...told, URL_BASE, STREAM_URL_BASE: `https://127.0.0.1:${front.address().port}` }, (text) => {
      console.log(text)
      if (/^\d+ passed, \d+ failed$/.test(text)) done()
    })
    // Another host and another port than the server's: another origin and another site.
    const at = `http://app.localhost:${page.address().port}/`
    chromium = spawn(CHROMIUM, ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--no-default-browser-check',
      '--disable-extensions', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-proxy-server', '--ignore-certificate-errors',
      '--enable-logging=stderr', `--user-data-dir=${profile}`, at], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    let log = ''
    chromium.stderr.on('data', (data) => { log = (log + data).slice(-20_000) })
    chromium.on('error', fail)
    chromium.on('exit', (status) => fail(new Error(`the browser ended (${status}): ${log.slice(-2000)}`)))
    setTimeout(() => fail(new Error(`the page did not finish: ${log.split('\n').filter((l) => /CONSOLE/.test(l)).slice(-10).join('\n')}`)), 120_000)
  })
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  // The browser is many processes; all of them are its group.
  if (chromium?.exitCode === null) {
    const gone = new Promise((resolve) => chromium.once('exit', resolve))
    process.kill(-chromium.pid, 'SIGKILL')
    await gone
  }
  await rm(profile, { recursive: true, force: true, maxRetries: 5 })
}
process.exit()
