"""Images rendered over HTTP: sizes, formats, headers, rights, signed URLs that stay what they are, hostile files, and a crowd: render.py [CROWD] (20)."""
import concurrent.futures
import io
import json
import struct
import sys
import threading
import time
import zlib
from urllib.parse import urlsplit

import requests
from PIL import Image

from harness import Failure, Server, case, contains, main, same, true, wait_for
from session_token import ALICE, BOB

CROWD = int(sys.argv[1]) if len(sys.argv) > 1 else 20
WEBP = {'accept': 'image/avif,image/webp,*/*'}
POLICY = """
create policy mine on storage.objects for all to authenticated using (bucket_id = 'mine' and owner_id = (select auth.uid()::text)) with check (bucket_id = 'mine');
"""


def picture(width=400, height=200, kind='PNG', colour=(200, 30, 30), **more):
    """An image whose left half has the colour, and whose right half is blue."""
    image = Image.new('RGB', (width, height), colour)
    image.paste((20, 30, 220), (width // 2, 0, width, height))
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def flat_png(width, height, channels=3):
    """A PNG of one colour, whatever its size: small as a file, large as pixels."""
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    packer, row = zlib.compressobj(1), b'\0' + bytes(width * channels)
    lines = b''.join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)) + chunk(b'IDAT', lines) + chunk(b'IEND', b'')


class Play:
    """What the cases share, made once."""
    made = None

    def __init__(self, server):
        self.server, self.base = server, server.url + '/storage/v1'
        self.service = server.keys['SERVICE_ROLE_KEY']
        self.alice, self.bob = (server.token(who) for who in (ALICE, BOB))
        server.sql(POLICY)
        for name, public in (('open', True), ('mine', False)):
            self.good(self.call('POST', '/bucket', json={'id': name, 'name': name, 'public': public}))
        for key, data, kind in (('a.png', picture(), 'image/png'), ('a.jpg', picture(kind='JPEG'), 'image/jpeg'), ('a.txt', b'no image', 'image/png'), ('x?y é.png', picture(), 'image/png')):
            self.put('open', key, data, kind)
        self.put('mine', 'a.png', picture(), 'image/png', token=self.alice)

    @classmethod
    def of(cls, server):
        cls.made = cls.made or cls(server)
        return cls.made

    def call(self, method, path, token='service', **more):
        headers = dict(more.pop('headers', {}))
        if token:
            headers['authorization'] = f'Bearer {self.service if token == "service" else token}'
        return requests.request(method, self.base + path, headers=headers, timeout=120, **more)

    def good(self, answer):
        if answer.status_code != 200:
            raise Failure(f'{answer.request.method} {answer.url}: {answer.status_code} {answer.text:.300}')
        return answer

    def put(self, bucket, key, data, kind='image/png', token='service', **headers):
        path = f'/object/{bucket}/{requests.utils.quote(key)}'
        self.good(self.call('POST', path, token=token, data=data, headers={'content-type': kind, 'x-upsert': 'true', **{k.replace('_', '-'): v for k, v in headers.items()}}))

    def render(self, path, token=None, **more):
        return self.call('GET', f'/render/image/{path}', token=token, **more)

    def refused(self, answer, status, code, part=''):
        told = answer.json()
        same((answer.status_code, told['statusCode'], told['code']), (400 if status != 503 else 503, str(status), code), answer.url)
        contains(told['message'], part, 'message')

    def sign(self, bucket, key, transform=None, token='service', seconds=60):
        body = {'expiresIn': seconds, **({'transform': transform} if transform is not None else {})}
        return self.good(self.call('POST', f'/object/sign/{bucket}/{requests.utils.quote(key)}', token=token, json=body)).json()['signedURL']


def opened(answer):
    if answer.status_code != 200:
        raise Failure(f'{answer.url}: {answer.status_code} {answer.text:.300}')
    same(answer.headers['content-length'], str(len(answer.content)), 'length')
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    return image


def shape(answer):
    image = opened(answer)
    return image.format, image.size, answer.headers['content-type']


@case
def sizes_and_formats(server):
    play = Play.of(server)
    for query, want in (
            ('width=100', ('PNG', (100, 50), 'image/png')), ('height=50', ('PNG', (100, 50), 'image/png')), ('width=50&height=50', ('PNG', (50, 50), 'image/png')),
            ('width=100&height=100&resize=contain', ('PNG', (100, 50), 'image/png')), ('width=100&height=100&resize=fill', ('PNG', (100, 100), 'image/png')),
            ('width=100&format=webp', ('WEBP', (100, 50), 'image/webp')), ('width=100&format=avif', ('AVIF', (100, 50), 'image/avif')),
            ('width=100&format=origin', ('PNG', (100, 50), 'image/png')), ('width=5000', ('PNG', (400, 200), 'image/png')), ('', ('PNG', (400, 200), 'image/png')), ('width=0', ('PNG', (400, 200), 'image/png'))):
        same(shape(play.render(f'public/open/a.png?{query}')), want, query)
    same(shape(play.render('public/open/a.jpg?width=100')), ('JPEG', (100, 50), 'image/jpeg'), 'jpeg')
    same(shape(play.render('public/open/a.jpg?width=100', headers=WEBP)), ('WEBP', (100, 50), 'image/webp'), 'accepted')
    same(shape(play.render('public/open/a.jpg?width=100&format=origin', headers=WEBP)), ('JPEG', (100, 50), 'image/jpeg'), 'origin')
    same(shape(play.render('public/open/x%3Fy%20%C3%A9.png?width=10'))[1], (10, 5), 'a name of any kind')
    # The half that stays.
    for gravity, red in (('we', True), ('ea', False), ('fp&x_offset=0.1&y_offset=0.5', True), ('fp&x_offset=0.9&y_offset=0.5', False)):
        pixel = opened(play.render(f'public/open/a.png?width=50&height=100&gravity={gravity}')).convert('RGB').getpixel((25, 50))
        true((pixel[0] > pixel[2]) == red, f'{gravity}: {pixel}')
    large = len(play.render('public/open/a.jpg?format=origin&quality=100').content)
    true(len(play.render('public/open/a.jpg?format=origin&quality=20').content) < large, 'quality')


@case
def words_of_refusals(server):
    play = Play.of(server)
    for query, code, message in (('width=-1', 'InvalidRequest', 'querystring/width must be >= 0'), ('quality=5', 'InvalidRequest', 'querystring/quality must be >= 20'), ('quality=101', 'InvalidRequest', 'querystring/quality must be <= 100'),
                                 ('resize=stretch', 'InvalidRequest', 'querystring/resize must be equal to one of the allowed values'), ('gravity=fp', 'InvalidParameter', '')):
        play.refused(play.render(f'public/open/a.png?{query}'), 400, code, message)
    play.refused(play.render('public/open/a.txt?width=10'), 400, 'InvalidRequest', 'not an image')
    play.refused(play.render('public/open/none.png?width=10'), 404, 'NoSuchKey', 'Object not found')
    play.refused(play.render('public/none/a.png?width=10'), 404, 'NoSuchBucket', 'Bucket not found')
    play.refused(play.render('sign/open/a.png'), 400, 'InvalidRequest', "'token'")
    same(play.call('POST', '/render/image/public/open/a.png').status_code, 404, 'POST')


@case
def headers_of_answers(server):
    play = Play.of(server)
    play.put('open', 'h.png', picture(), cache_control='max-age=77')
    path = 'public/open/h.png?width=64&height=32&resize=contain&quality=50'
    plain, webp = play.render(path), play.render(path, headers=WEBP)
    same((plain.headers['cache-control'], plain.headers['vary'], plain.headers['x-robots-tag']), ('max-age=77', 'Accept', 'none'), 'headers')
    same(plain.headers['x-transformations'], 'height:32,width:64,resizing_type:fit,quality:50', 'transformations')
    original = play.call('GET', '/object/public/open/h.png', token=None)
    same(plain.headers['last-modified'], original.headers['last-modified'], 'date')
    tags = {plain.headers['etag'], webp.headers['etag'], original.headers['etag'], play.render(path + '&format=webp').headers['etag']}
    same(len(tags), 4, 'tags')
    true('vary' not in play.render(path + '&format=webp').headers, 'a format that was named varies by nothing')
    for headers in ({'if-none-match': plain.headers['etag']}, {'if-none-match': '"x", W/' + plain.headers['etag']}):
        again = play.render(path, headers=headers)
        same((again.status_code, again.content, again.headers['etag'], again.headers['vary']), (304, b'', plain.headers['etag'], 'Accept'), 'again')
    same(play.render(path, headers={**WEBP, 'if-none-match': plain.headers['etag']}).status_code, 200, 'the same tag for another format')
    play.put('open', 'h.png', picture(colour=(0, 200, 0)))
    changed = play.render(path, headers={'if-none-match': plain.headers['etag']})
    pixel = opened(changed).convert('RGB').getpixel((8, 16))
    true(changed.status_code == 200 and pixel[1] > 150, f'the new object: {pixel}')
    same(play.render(path + '&download=p%20q.png').headers['content-disposition'], "attachment; filename=p%20q.png; filename*=UTF-8''p%20q.png", 'disposition')
    same(play.render(path + '&download').headers['content-disposition'], 'attachment;', 'disposition without a name')
    head = play.call('HEAD', f'/render/image/{path}', token=None)
    same((head.status_code, head.headers['content-type'], head.headers['content-length']), (200, 'image/png', str(len(changed.content))), 'HEAD')


@case
def rights(server):
    play = Play.of(server)
    path = 'authenticated/mine/a.png?width=40'
    mine = play.render(path, token=play.alice)
    same(shape(mine)[1], (40, 20), 'own')
    # It is kept by now, and still only for those who may see it.
    for _ in range(2):
        for answer in (play.render(path, token=play.bob), play.render(path, token=play.bob, headers={'if-none-match': mine.headers['etag']})):
            play.refused(answer, 404, 'NoSuchKey')
        play.refused(play.render('public/mine/a.png?width=40', token=play.alice), 404, 'NoSuchBucket')
        play.refused(play.render('public/mine/a.png?width=40', headers={'if-none-match': '*'}), 404, 'NoSuchBucket')
    play.refused(play.render(path), 400, 'InvalidRequest', 'authorization')
    play.refused(play.render(path, token='nonsense'), 403, 'AccessDenied')
    play.refused(play.call('POST', '/object/sign/mine/a.png', token=play.bob, json={'expiresIn': 60, 'transform': {'width': 9}}), 404, 'NoSuchKey')
    same(shape(play.call('GET', play.sign('mine', 'a.png', {'width': 9}, token=play.alice), token=None))[1][0], 9, 'signed by who may')
    play.good(play.call('DELETE', '/object/mine/a.png', token=play.alice))
    play.refused(play.render(path, token=play.alice), 404, 'NoSuchKey')
    play.put('mine', 'a.png', picture(), token=play.alice)


@case
def signed_urls_stay_what_they_are(server):
    play = Play.of(server)
    url = play.sign('mine', 'a.png', {'width': 40, 'height': 40, 'quality': 30, 'format': 'webp', 'gravity': 'ea'}, seconds=600)
    contains(url, '/render/image/sign/mine/a.png?token=', 'URL')
    wanted = ('WEBP', (40, 40), 'image/webp')
    answer = play.call('GET', url, token=None)
    same(shape(answer), wanted, 'as signed')
    true('cache-control' not in answer.headers and 'expires' in answer.headers, 'nobody keeps it for longer than the URL is good')
    for more in ('&width=300', '&height=1&resize=fill', '&format=origin', '&quality=100&gravity=we', '&x_offset=9'):
        same(play.call('GET', url + more, token=None).content, answer.content, f'with {more}')
    contains(play.call('GET', url + '&download=a.webp', token=None).headers['content-disposition'], 'a.webp', 'disposition')
    token = url.split('token=')[1]
    for path in ('/render/image/sign/mine/b.png', '/render/image/sign/open/a.png', '/render/image/sign/mine/a.pn', '/object/sign/mine/a.png'):
        play.refused(play.call('GET', f'{path}?token={token}', token=None), 400, 'InvalidSignature')
    play.refused(play.call('GET', '/render/image/sign/mine/a.png?token=' + token[:-3], token=None), 400, 'InvalidJWT')
    upload = play.good(play.call('POST', '/object/upload/sign/mine/new.png')).json()['url'].split('token=')[1]
    play.refused(play.call('GET', f'/render/image/sign/mine/new.png?token={upload}', token=None), 400, 'InvalidSignature')
    whole = play.sign('mine', 'a.png', {})
    contains(whole, '/object/sign/', 'without transformations')
    same(shape(play.call('GET', whole.replace('/object/sign/', '/render/image/sign/') + '&width=5', token=None)), ('PNG', (400, 200), 'image/png'), 'a token of the whole, rendered')
    late = play.sign('mine', 'a.png', {'width': 9}, seconds=1)
    wait_for('the URL to end', lambda: play.call('GET', late, token=None).status_code == 400)
    odd = play.sign('open', 'x?y é.png', {'width': 20})
    same(shape(play.call('GET', requests.utils.requote_uri(odd), token=None))[1], (20, 10), 'a name of any kind')


@case
def hostile_files(server):
    play = Play.of(server)
    good, bomb = picture(kind='JPEG'), flat_png(20000, 20000, 1)
    true(len(bomb) < 4_000_000, 'a small file')
    files = {'bomb': (bomb, 'pixels'), 'garbage': (bytes(range(256)) * 400, ''), 'nothing': (b'', ''), 'head only': (picture()[:40], ''), 'large file': (good + bytes(25_000_001 - len(good)), 'bytes'),
             'wrong size': (picture()[:16] + struct.pack('>II', 3000, 3000) + picture()[24:], ''), 'gif': (b'GIF89a' + b'\xff' * 30, ''), 'webp': (b'RIFF\x20\0\0\0WEBPVP8 ' + b'\xff' * 24, ''), 'tiff': (b'II*\0' + b'\xff' * 60, '')}
    for name, (data, part) in files.items():
        play.put('open', f'hostile/{name}', data)
        play.refused(play.render(f'public/open/hostile/{name}?width=30'), 400, 'InvalidRequest', part)
    # What is cut is shown as far as it goes, or refused.
    play.put('open', 'hostile/cut.jpg', good[:len(good) // 2], 'image/jpeg')
    true(play.render('public/open/hostile/cut.jpg?width=30').status_code in (200, 400), 'a cut file')
    same(shape(play.render('public/open/a.png?width=100'))[1], (100, 50), 'afterwards')


@case
def drawings_pass_as_drawings_only(server):
    play, drawing = Play.of(server), b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
    play.put('open', 'drawing.svg', drawing, 'image/svg+xml; charset=utf-8')
    answer = play.good(play.render('public/open/drawing.svg?width=5'))
    same((answer.content, answer.headers['content-type']), (drawing, 'image/svg+xml'), 'a drawing')
    contains(answer.headers['content-security-policy'], 'sandbox', 'what a drawing may do')
    for kind in ('image/png', 'text/plain', 'image/svg'):
        play.put('open', 'disguised.png', drawing, kind)
        answer = play.render('public/open/disguised.png?width=5')
        same((answer.status_code, answer.json()['code']), (400, 'InvalidRequest'), kind)
    same('content-security-policy' in play.render('public/open/a.png?width=5').headers, False, 'a policy for pixels')


@case
def a_crowd_takes_no_more_than_its_memory(server):
    """Many ask for an image of 48 megapixels, each for another size; uploads go on meanwhile."""
    play = Play.of(server)
    play.put('open', 'large.png', flat_png(8000, 6000))
    play.good(play.render('public/open/a.png?width=20'))
    before, done, took = server.memory()[1], threading.Event(), []

    def uploads():
        while not done.is_set():
            begun = time.monotonic()
            play.put('open', 'meanwhile.txt', b'x' * 10000, 'text/plain')
            took.append(time.monotonic() - begun)

    other = threading.Thread(target=uploads)
    other.start()
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
        answers = list(pool.map(lambda n: play.render(f'public/open/large.png?width={200 + n}&format=origin'), range(CROWD)))
    spent = time.monotonic() - begun
    done.set()
    other.join()
    kinds = {code: sum(answer.status_code == code for answer in answers) for code in {answer.status_code for answer in answers}}
    peak = server.memory()[0]
    print(f'  {kinds} in {spent:.1f} s; memory {before:.0f} MB before, {peak:.0f} MB at most; {len(took)} uploads meanwhile, the slowest {max(took) * 1000:.0f} ms')
    true(set(kinds) <= {200, 503} and kinds[200] >= 1, f'answers: {kinds}')
    for answer in answers:
        if answer.status_code == 503:
            same((answer.json()['code'], answer.headers['retry-after']), ('SlowDown', '1'), 'what is told')
        else:
            true(200 <= opened(answer).size[0] < 200 + CROWD, 'size')
    true(peak - before < BUDGET / 1e6 + 400, f'{peak:.0f} MB, {before:.0f} MB before')
    true(took, 'no upload came through meanwhile')
    same(shape(play.render('public/open/a.png?width=21'))[1][0], 21, 'afterwards')


@case
def the_same_is_rendered_once(server):
    play = Play.of(server)
    noise = Image.effect_noise((4000, 3000), 30).convert('RGB')
    out = io.BytesIO()
    noise.save(out, 'JPEG', quality=85)
    play.put('open', 'noise.jpg', out.getvalue(), 'image/jpeg')

    def timed(width):
        begun = time.monotonic()
        answer = play.good(play.render(f'public/open/noise.jpg?width={width}', headers=WEBP))
        return time.monotonic() - begun, answer.content
    fresh = sorted(timed(400 + n)[0] for n in range(5))
    print(f'  12 MP JPEG ({len(out.getvalue()) / 1e6:.1f} MB) to 400 px: {fresh[2] * 1000:.0f} ms (median of 5)')
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        begun = time.monotonic()
        same(len({content for _, content in pool.map(timed, [700] * 200)}), 1, 'what 200 who ask at once are told')
        print(f'  the same by 200 at once: {(time.monotonic() - begun) * 1000:.0f} ms')
        begun = time.monotonic()
        # No more than a slow machine renders before those who wait are sent away.
        few = range(500, 500 + min(CROWD // 2, 30))
        list(pool.map(timed, few))
        print(f'  {len(few)} different ones: {len(few) / (time.monotonic() - begun):.1f} a second')


@case
def clients_that_leave_make_room(server):
    play, where = Play.of(server), urlsplit(server.url)
    import socket
    for n in range(300):
        with socket.create_connection((where.hostname, where.port)) as gone:
            gone.sendall(f'GET /storage/v1/render/image/public/open/large.png?width={400 + n} HTTP/1.1\r\nhost: x\r\n\r\n'.encode())
    # Those that were under way end by themselves, the others do not count any more.
    wait_for('a render to succeed', lambda: play.render('public/open/a.jpg?width=33').status_code == 200, 120)


@case
def when_it_is_off(server):
    play = Play.of(server)
    with Server(env={'IMAGE_TRANSFORMATION_ENABLED': 'false'}) as other:
        off = Play(other)
        answer = off.render('public/open/a.png?width=10')
        same((answer.status_code, answer.json()['code']), (404, 'InvalidRequest'), 'rendering')
        contains(off.sign('open', 'a.png', {'width': 9}), '/object/sign/', 'signed URL')
        same(off.call('GET', off.sign('open', 'a.png', {'width': 9}), token=None).status_code, 200, 'the whole')
    same(shape(play.render('public/open/a.png?width=100'))[1], (100, 50), 'where it is on')


BUDGET = 768 << 20
if __name__ == '__main__':
    main(env={'ROWLOCK_IMAGE_MEMORY': str(BUDGET), 'ROWLOCK_IMAGE_CACHE': str(16 << 20)})
