"""nginx in front of a server, as users set it up for clients that know hosts only: a host of its own whose root is /s3."""
import os
import shutil
import subprocess

from harness import free_port, wait_for

CONFIG = '''
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        {route}
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
'''


class Rooted:
    """`with Rooted(server) as host:` gives `127.0.0.1:<port>`."""
    route = """location / {{
            proxy_pass http://127.0.0.1:{behind}/s3$request_uri;
            proxy_set_header Host $http_host;"""

    def __init__(self, server):
        self.folder = server.folder / 'rooted'
        self.folder.mkdir(exist_ok=True)
        self.port, self.behind = free_port(), server.port

    def __enter__(self):
        config = self.folder / 'nginx.conf'
        own = dict(port=self.port, behind=self.behind)
        config.write_text(CONFIG.format(folder=self.folder, route=self.route.format(**own), **own))
        program = shutil.which('nginx', path=os.environ['PATH'] + ':/usr/sbin')
        self.process = subprocess.Popen([program, '-c', str(config), '-p', str(self.folder)], stderr=subprocess.DEVNULL)
        wait_for('nginx', lambda: (self.folder / 'nginx.pid').exists() and (self.folder / 'nginx.pid').read_text().strip())
        return f'127.0.0.1:{self.port}'

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
