# Names: a resolver that hangs or fails, names with good and bad addresses, and
# a worker that runs out of descriptors.
#
# getaddrinfo() is replaced in the server by one that does as its names say.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'libcurl before 7.87 waits for a resolver that hangs' unless libcurl_at_least(7, 87);

my $dir = File::Temp->newdir('rswebhook_names_XXXXXX', TMPDIR => 1);
open my $out, '>', "$dir/names.c" or die "could not write: $!\n";
print $out <<'END';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int (*Resolve) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* "AxB.test" has the addresses A and B; "-" stands for "." and "_" for ":" */
static int
listed(Resolve resolve, const char *host, const char *service,
	   const struct addrinfo *hints, struct addrinfo **result)
{
	char		names[256];
	char	   *rest = names;
	char	   *name;
	struct addrinfo **end = result;

	*result = NULL;
	strncpy(names, host, sizeof(names) - 1);
	names[sizeof(names) - 1] = '\0';
	names[strlen(names) - 5] = '\0';
	for (char *c = names; *c; c++)
	{
		if (*c == '_')
			*c = ':';
		else if (*c == '-')
			*c = '.';
	}
	while ((name = strsep(&rest, "x")) != NULL)
	{
		struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
		int			rc = resolve(name, service, &numeric, end);

		if (rc != 0)
			return rc;
		while (*end)
			end = &(*end)->ai_next;
	}
	return 0;
}

int
getaddrinfo(const char *host, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	Resolve		resolve = (Resolve) dlsym(RTLD_NEXT, "getaddrinfo");
	size_t		len = host ? strlen(host) : 0;

	if (len <= 5 || strcmp(host + len - 5, ".test") != 0)
		return resolve(host, service, hints, result);
	if (strcmp(host, "hang.test") == 0)
	{
		sleep(20);
		return EAI_AGAIN;
	}
	if (strcmp(host, "again.test") == 0)
		return EAI_AGAIN;
	if (strcmp(host, "fail.test") == 0)
		return EAI_FAIL;
	return listed(resolve, host, service, hints, result);
}
END
close $out or die "could not write: $!\n";
plan skip_all => 'no compiler'
  if system("cc -shared -fPIC -o $dir/names.so $dir/names.c -ldl") != 0;

my $receiver = new_receiver();
my $good = new_receiver();
my $node = new_node('names', start => 0);
{
    local $ENV{LD_PRELOAD} = "$dir/names.so";
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    connect_timeout => '400 ms',
    timeout => '800 ms');
my $resolve = qr/^resolving the name: /;

# name, outcome, status, error
my @cases = (
    [ 'hang', 'retry', undef, qr/${resolve}.*timed out/i ],
    [ 'again', 'retry', undef, qr/${resolve}Could not resolve host: again\.test/ ],
    [ 'fail', 'retry', undef, qr/${resolve}Could not resolve host: fail\.test/ ],
    [ '127-0-0-1', 'delivered', 200 ],
    # a bad one first: refused by the host, unreachable, or forbidden
    [ '127-0-0-2x127-0-0-1', 'delivered', 200 ],
    [ '__1x127-0-0-1', 'delivered', 200 ],
    [ '169-254-169-254x127-0-0-1', 'delivered', 200 ],
    [ '127-0-0-1x169-254-169-254', 'delivered', 200 ],
    # forbidden, and nothing else that works
    [ '169-254-169-254', 'aborted', undef, qr/^address 169\.254\.169\.254 is in the blocked network/ ],
    [ '__ffff_169-254-169-254', 'aborted', undef, qr/is in the blocked network/ ],
    [ '169-254-169-254x127-0-0-2', 'retry', undef, qr/^connecting: / ]);

add_destination($node, $_->[0], 'http://' . $_->[0] . '.test:' . $receiver->port . "/ok/$_->[0]", \%hasty)
  foreach @cases;
add_destination($node, 'good', $good->url('/ok'), { ordered => 0 });
my $pid = worker_pid($node);
my $latest = 0;
my %id = map { $_->[0] => send_event($node, { type => 'track', userId => 'u' }, $_->[0]) } @cases;
for (my $end = time() + 1.5; time() < $end;)
{
    my $before = $good->requests;
    my $took = elapsed(
        sub {
            send_event($node, { type => 'track' }, 'good');
            wait_for('the neighbour', sub { $good->requests > $before });
        });
    $latest = $took if $took > $latest;
}
ok(wait_until_sent($node), 'nothing is owed any more');
is(worker_pid($node), $pid, 'the worker is the same');
cmp_ok($latest, '<', $ENV{RSWEBHOOK_SANITIZED} ? 3 : 1, sprintf 'a neighbour waits for %.0f ms at most', $latest * 1000);

foreach (@cases)
{
    my ($name, $outcome, $status, $error) = @$_;
    my ($row) = query_rows($node,
        "SELECT outcome, status, error FROM rswebhook.delivery WHERE event_id = $id{$name} AND attempt = 1");

    is(join(' ', $row->{outcome}, $row->{status} // ()), join(' ', $outcome, $status // ()), "$name: outcome");
    defined $error
      ? like($row->{error}, $error, "$name: error")
      : is($row->{error}, undef, "$name: no error");
}

# Many names that hang at once: threads of the resolver, but nobody waits.
add_destination($node, 'hangs', 'http://hang.test/', { %hasty, ordered => 0, max_in_flight => 30 });
query($node, q{SELECT count(rswebhook_send('{"type": "track"}', 'hangs')) FROM generate_series(1, 60)});
my $before = $good->requests;
send_event($node, { type => 'track' }, 'good');
ok(wait_for('the neighbour', sub { $good->requests > $before }, 5), 'a neighbour is served meanwhile');

# Without descriptors
SKIP:
{
    skip 'no prlimit', 5 if system('prlimit --version >/dev/null 2>&1') != 0;

    ok(wait_until_sent($node), 'nothing is owed any more');
    add_destination($node, 'crowd', $receiver->url('/delay/200/ok/crowd'), {
        ordered => 0, max_in_flight => 200, min_backoff => '50 ms', max_backoff => '300 ms',
        breaker_failures => 0 });
    system("prlimit --pid $pid --nofile=64:1024") == 0 or die "could not limit the worker\n";
    query($node, q{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'c' || n), 'crowd'))
        FROM generate_series(1, 200) AS n});
    ok(wait_until_sent($node), 'with 64 descriptors: nothing is owed any more');
    is(worker_pid($node), $pid, 'the worker is the same');
    my %seen;
    $seen{ $_->{headers}{'webhook-id'} }++ foreach $receiver->requests_to('/delay/200/ok/crowd');
    is(scalar(grep { $_ == 1 } values %seen), 200, 'all arrived, once');
    is(query($node, q{
            SELECT string_agg(DISTINCT error, '; ') FROM rswebhook.delivery WHERE error LIKE '%open files%'}),
        'connecting: too many open files', 'what had to wait for a descriptor says so');
    system("prlimit --pid $pid --nofile=1024:1024") == 0 or die "could not unlimit the worker\n";
}

# A name that hangs does not hold up the shutdown.
send_event($node, { type => 'track' }, 'hangs');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hangs'}, '1'),
    'a name is being resolved');
cmp_ok(elapsed(sub { $node->stop('fast') }), '<', 3, 'the server stops at once');

done_testing();
