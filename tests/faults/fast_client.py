"""fast_client.py PORT TOKEN BUCKET SECONDS: one client that reads, and writes one time in ten, as fast as it is answered; prints its times in ms as a JSON object."""
import http.client
import json
import sys
import time


def summary(times):
    times.sort()
    return {'n': len(times), 'p50': times[len(times) // 2], 'p99': times[len(times) * 99 // 100], 'max': times[-1]}


def main(port, token, bucket, seconds):
    connection = http.client.HTTPConnection('127.0.0.1', int(port), timeout=60)
    headers = {'authorization': 'Bearer ' + token, 'x-upsert': 'true', 'content-type': 'text/plain'}
    times = {'GET': [], 'POST': []}
    end, number = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        number += 1
        if number % 10:
            method, path, body = 'GET', f'/storage/v1/object/public/{bucket}/fast', None
        else:
            method, path, body = 'POST', f'/storage/v1/object/{bucket}/fast', b'x' * 10_000
        begun = time.monotonic()
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        size = len(answer.read())
        times[method].append((time.monotonic() - begun) * 1000)
        if answer.status != 200 or method == 'GET' and size != 10_000:
            sys.exit(f'{method} {path}: {answer.status}')
        time.sleep(0.001)
    print(json.dumps({method: summary(all_of) for method, all_of in {**times, 'all': times['GET'] + times['POST']}.items()}))


main(*sys.argv[1:])
