package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// nginxConf is the most that an administrator would write for this: connections kept on both sides, nothing buffered,
// nothing logged. worker_processes auto is Debian's own setting: a process a core.
const nginxConf = `user root;
daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx-error.log;
events { worker_connections 2048; }
http {
	access_log off;
	tcp_nodelay on;
	keepalive_requests 1000000000;
	client_max_body_size 64m;
	client_body_temp_path %[1]s/nginx-body;
	proxy_temp_path %[1]s/nginx-proxy;
	fastcgi_temp_path %[1]s/nginx-fastcgi;
	uwsgi_temp_path %[1]s/nginx-uwsgi;
	scgi_temp_path %[1]s/nginx-scgi;
	upstream engine {
		server unix:%[2]s;
		keepalive 64;
		keepalive_requests 1000000000;
	}
	server {
		listen 127.0.0.1:%[3]d;
		location / {
			proxy_pass http://engine;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
			proxy_buffering off;
			proxy_request_buffering off;
			proxy_read_timeout 1h;
		}
	}
}
`

// startNginx starts an nginx of its own, with all its files in dir.
func startNginx(dir, path, socket string) (*process, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, socket, port), 0o644); err != nil {
		return nil, "", err
	}
	p, err := start(dir, "nginx", path, "-p", dir, "-e", filepath.Join(dir, "nginx-error.log"), "-c", conf)
	return p, fmt.Sprintf("127.0.0.1:%d", port), err
}

// freePort finds a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
