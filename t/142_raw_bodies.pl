# doc/receivers.md: what the page says of each framework gives the bytes that were signed, also of a large event and of none.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

use Child;

my $node = new_node('bodies');
my $place = temp_dir('bodies');
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/receivers.md');
my %verify = map { $_ => $page =~ /^```$_\n(.*?)^```$/ms ? $1 : die "no code in $_\n" } 'js', 'python', 'php', 'go';
my %cell;      # what the page has in code, by the framework
while ($page =~ /^\| (\w+)[^|]* \|([^|]*\|[^|]*)\|$/gm)
{
    my ($framework, $cells) = ($1, $2);

    $cell{$framework} = [ $cells =~ /`([^`]+)`/g ];
}
my $secret = query($node, 'SELECT rswebhook_generate_secret()');
my $python = (grep { system("$_ -c 'import flask, django' >/dev/null 2>&1") == 0 } 'python3', '/usr/bin/python3')[0] // 'python3';
my $headers = 'request.headers.get("webhook-id"), request.headers.get("webhook-timestamp"), request.headers.get("webhook-signature")';
my $js_headers = "['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => req.headers[name])";

my %apps = (
    Express => [ 'js', "node -e 'require(\"express\")'", 'node FILE', sub {
            my ($raw, undef, $body) = @{ $cell{Express} };
            "const express = require('express');
            const app = express();
            app.all('/hooks', $raw, (req, res) => {
                const [id, timestamp, signatures] = $js_headers;
                const body = Buffer.isBuffer($body) ? $body : Buffer.alloc(0);
                res.sendStatus(verify(process.env.SECRET, id, timestamp, signatures, body) ? 200 : 401);
            });
            app.use(express.json());
            app.listen(process.env.PORT, '127.0.0.1');" } ],
    Fastify => [ 'js', "node -e 'require(\"fastify\")'", 'node FILE', sub {
            my ($remove, $add, undef, $limit) = @{ $cell{Fastify} };
            "const app = require('fastify')({ $limit });
            app.$remove;
            app.$add;
            app.all('/hooks', async (req, reply) => {
                const [id, timestamp, signatures] = $js_headers;
                const request = req;
                reply.code(verify(process.env.SECRET, id, timestamp, signatures, request.body || Buffer.alloc(0)) ? 200 : 401);
                return '';
            });
            app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });" } ],
    Flask => [ 'python', "$python -c 'import flask'", "$python FILE", sub {
            "import os
from flask import Flask, request
app = Flask('app')
\@app.route('/hooks', methods=['POST', 'GET', 'DELETE'])
def hooks():
    return '', 200 if verify(os.environ['SECRET'], $headers, $cell{Flask}[0]) else 401
app.run('127.0.0.1', int(os.environ['PORT']))
" } ],
    Django => [ 'python', "$python -c 'import django'", "$python FILE runserver --noreload 127.0.0.1:PORT", sub {
            my ($body, $decorator, $limit) = @{ $cell{Django} };
            "import os, sys
from django.conf import settings
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=['*'], $limit,
                   MIDDLEWARE=['django.middleware.csrf.CsrfViewMiddleware'])
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
$decorator
def hooks(request):
    return HttpResponse(status=200 if verify(os.environ['SECRET'], $headers, $body) else 401)
urlpatterns = [path('hooks', hooks)]
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
" } ],
    FastAPI => [ 'python', "$python -c 'import fastapi, uvicorn'", "$python FILE", sub {
            "import os
import uvicorn
from fastapi import FastAPI, Request, Response
app = FastAPI()
\@app.api_route('/hooks', methods=['POST', 'GET', 'DELETE'])
async def hooks(request: Request):
    return Response(status_code=200 if verify(os.environ['SECRET'], $headers, $cell{FastAPI}[0]) else 401)
uvicorn.run(app, host='127.0.0.1', port=int(os.environ['PORT']))
" } ],
    PHP => [ 'php', 'php -v', 'php -S 127.0.0.1:PORT FILE', sub {
            "\$good = verify(getenv('SECRET'), \$_SERVER['HTTP_WEBHOOK_ID'] ?? null, \$_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? null,
                \$_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? null, $cell{PHP}[0]);
            http_response_code(\$good ? 200 : 401);" } ],
    Go => [ 'go', 'go version', 'FILE.exe', sub {
            "func main() {
	http.HandleFunc(\"/hooks\", func(w http.ResponseWriter, r *http.Request) {
		body, err := $cell{Go}[0]
		if err != nil || !Verify(os.Getenv(\"SECRET\"), r.Header.Get(\"webhook-id\"), r.Header.Get(\"webhook-timestamp\"), r.Header.Get(\"webhook-signature\"), body) {
			w.WriteHeader(401)
		}
	})
	http.ListenAndServe(\"127.0.0.1:\" + os.Getenv(\"PORT\"), nil)
}" } ]);
my @requests = (
    [ 'a small event', 'POST', q{{"type": "track", "event": "Café €"}} ],
    [ 'three megabytes', 'POST', q{jsonb_build_object('type', 'track', 'text', repeat(chr(1), 500000))} ],
    [ 'GET', 'GET', q{{"type": "track", "properties": {"price": 60}}} ],
    [ 'DELETE', 'DELETE', q{{"type": "track", "properties": {"price": 60}}} ]);

foreach my $name (sort keys %apps)
{
    my ($language, $there, $command, $app) = @{ $apps{$name} };

  SKIP:
    {
        skip "$name is not there", 1 if system("$there >/dev/null 2>&1") != 0;
        my $port = unused_port();
        my $file = "$place/" . lc $name . ($language eq 'go' ? '.go' : '');
        my $text = $verify{$language};

        # as one file
        $text =~ s/^package webhook$/package main/m, $text =~ s/^import \(\n/import (\n\t"io"\n\t"net\/http"\n\t"os"\n/m if $language eq 'go';
        write_file($file, "$text\n" . $app->());
        system("cd $place && env GO111MODULE=off GOPATH=$place/go GOCACHE=$place/cache go build -o $file.exe $file") == 0 or die "could not build\n"
          if $language eq 'go';
        $command =~ s/FILE/$file/;
        $command =~ s/PORT/$port/;
        my $child = Child::start(
            sub {
                @ENV{ 'SECRET', 'PORT' } = ($secret, $port);
                open STDOUT, '>', "$place/said" or die "could not write: $!\n";
                open STDERR, '>&', \*STDOUT;
                exec split / /, $command or die "could not run \"$command\": $!\n";
            });
        ok(wait_for($name, sub { Child::has_ended($child) || IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }), "$name runs");
        foreach my $request (@requests)
        {
            my ($what, $method, $event) = @$request;
            my $destination = lc "$name $what";
            my $sql = $event =~ /^\{/ ? "'$event'::jsonb" : $event;

            add_destination($node, $destination, "http://127.0.0.1:$port/hooks", { method => $method, signing_secrets => qq(["$secret"]), retry_window => 0, min_attempts => 1 });
            my $id = query($node, "SELECT rswebhook_send($sql, '$destination')");
            wait_until_sent($node);
            is(query($node, "SELECT concat_ws(' ', outcome, status, error) FROM rswebhook.delivery WHERE event_id = $id"), 'delivered 200', "$name: $what")
              or diag(PostgreSQL::Test::Utils::slurp_file("$place/said"));
        }
        add_destination($node, lc $name, "http://127.0.0.1:$port/hooks",
            { signing_secrets => '["' . query($node, 'SELECT rswebhook_generate_secret()') . '"]', retry_window => 0, min_attempts => 1 });
        my $id = send_event($node, { type => 'track' }, lc $name);
        wait_until_sent($node);
        is(query($node, "SELECT outcome || status FROM rswebhook.delivery WHERE event_id = $id"), 'aborted401', "$name: not by another secret");
        Child::stop($child, 'TERM');
    }
}
$node->stop;
done_testing();
