"""A TLS terminator in front of a plain port, as every proxy is: SDKs use their trailer payload modes over TLS only."""
import asyncio
import pathlib
import ssl
import subprocess
import threading

from harness import free_port


class Terminator:
    """`with Terminator(port, folder) as t:` answers on t.endpoint; t.certificate is what clients must trust."""

    def __init__(self, target, folder):
        self.target, self.port = target, free_port()
        self.certificate, self.key = pathlib.Path(folder) / 'tls.crt', pathlib.Path(folder) / 'tls.key'
        self.endpoint = f'https://localhost:{self.port}/storage/v1/s3'
        self.loop = asyncio.new_event_loop()

    def make_certificate(self):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
                        '-keyout', self.key, '-out', self.certificate], check=True, capture_output=True)

    def __enter__(self):
        self.make_certificate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        ready = threading.Event()

        async def serve():
            await asyncio.start_server(self.connection, '127.0.0.1', self.port, ssl=context)
            ready.set()

        def run():
            asyncio.set_event_loop(self.loop)
            self.loop.set_exception_handler(lambda *_: None)   # clients that leave are no news here
            self.loop.create_task(serve())
            self.loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def connection(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection('127.0.0.1', self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pump(reader, up_writer), self.pump(up_reader, writer), return_exceptions=True)

    @staticmethod
    async def pump(source, sink):
        try:
            while data := await source.read(1 << 18):
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


class Authority(Terminator):
    """A terminator whose certificate an authority of our own has signed; `self.authority` is what the server must trust."""

    def __init__(self, target, folder, names):
        super().__init__(target, folder)
        self.names, self.authority = names, self.certificate.with_name('authority.crt')

    def make_certificate(self):
        def openssl(*words):
            subprocess.run(['openssl', *map(str, words)], check=True, capture_output=True)
        folder = self.certificate.parent
        authority_key, request, extensions = folder / 'authority.key', folder / 'tls.csr', folder / 'tls.ext'
        curve = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')
        openssl('req', '-x509', *curve, '-days', 2, '-subj', '/CN=a private authority', '-addext', 'keyUsage=critical,keyCertSign', '-keyout', authority_key, '-out', self.authority)
        openssl('req', *curve, '-subj', '/CN=store', '-keyout', self.key, '-out', request)
        extensions.write_text('subjectAltName=' + ','.join('DNS:' + name for name in self.names) + '\nbasicConstraints=CA:FALSE\n')
        openssl('x509', '-req', '-days', 2, '-in', request, '-CA', self.authority, '-CAkey', authority_key, '-CAcreateserial', '-extfile', extensions, '-out', self.certificate)
