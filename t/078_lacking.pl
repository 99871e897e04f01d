# What the worker's own machine lacks: each fault that a system call can have
# makes events wait, and costs no destination an attempt.
#
# The calls are replaced in the server by ones that fail as a file says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use PostgreSQL::Test::Utils qw(slurp_file);
use RswebhookTest;
use Test::More;

my $dir = File::Temp->newdir('rswebhook_lacking_XXXXXX', TMPDIR => 1);
chmod 0755, "$dir";
open my $out, '>', "$dir/lacking.c" or die "could not write: $!\n";
print $out <<"SETTINGS", <<'END';
#define FAULT "$dir/fault"
SETTINGS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "refuse.h"

#define ANY (-2)

/* "call number [which]": that call fails so, connections only to that port */
static int
fault(const char *call, int which)
{
	char		text[100];
	char		name[50];
	int			number = 0;
	int			only = 0;
	int			fd = syscall(SYS_openat, AT_FDCWD, FAULT, O_RDONLY);
	ssize_t		len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	if (sscanf(text, "%49s %d %d", name, &number, &only) < 2 || strcmp(name, call) != 0)
		return 0;
	return which == only || which == ANY ? number : 0;
}

static int
port_of(const struct sockaddr *address)
{
	return address->sa_family == AF_INET ?
		ntohs(((const struct sockaddr_in *) address)->sin_port) : -1;
}

/* "memory MOST LEAST": libcurl and who uses it get none of so many bytes */
static int
is_refused(size_t size, void *caller)
{
	char		text[100];
	char		word[50];
	size_t		most = 0;
	size_t		least = 0;
	Dl_info		info;
	int			fd = size >= 1024 ? syscall(SYS_openat, AT_FDCWD, FAULT, O_RDONLY) : -1;
	ssize_t		len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	if (sscanf(text, "%49s %zu %zu", word, &most, &least) != 3 || size < least || size > most ||
		dladdr(caller, &info) == 0)
		return 0;
	return strcmp(word, "memory") == 0 &&
		(strstr(info.dli_fname, "rswebhook.so") != NULL || strstr(info.dli_fname, "libcurl") != NULL);
}

/* "strndup 1": there is no memory for a copy */
char *
strndup(const char *string, size_t size)
{
	size_t		len = strnlen(string, size);
	char	   *copy = fault("strndup", 0) ? NULL : malloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, string, len);
		copy[len] = '\0';
	}
	return copy;
}

int
socket(int family, int type, int protocol)
{
	int			number = 0;

	if (family == AF_INET && (type & 0xf) == SOCK_STREAM)
		number = fault("socket", 0);
	else if (family == AF_INET && fault("connect-no-socket", ANY))
		number = EMFILE;
	if (number == 0)
		return syscall(SYS_socket, family, type, protocol);
	errno = number;
	return -1;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int			type = 0;
	socklen_t	size = sizeof(type);
	int			number = 0;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	if (type == SOCK_STREAM)
	{
		number = fault("connect", port_of(address));
		if (number == 0)
			number = fault("connect-no-socket", port_of(address));
		if (number == 0)
			number = fault("connect-no-port", port_of(address));
	}
	else if (fault("connect-no-port", port_of(address)))
		number = EAGAIN;		/* as UDP has it when its ports are taken, too */
	if (number == 0)
		number = fault("any-connect", port_of(address));
	if (number == 0)
		return syscall(SYS_connect, fd, address, len);
	errno = number;
	return -1;
}

/* whatever the option takes is as wide as a pointer */
int
curl_easy_setopt(void *handle, int option, ...)
{
	static int	(*next) (void *, int, ...) = NULL;
	int			number = fault("setopt", option);
	va_list		args;
	void	   *value;

	if (next == NULL)
		next = (int (*) (void *, int, ...)) dlsym(dlopen("libcurl.so.4", RTLD_LAZY), "curl_easy_setopt");
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	return number != 0 ? number : next(handle, option, value);
}

int
curl_share_setopt(void *share, int option, ...)
{
	static int	(*next) (void *, int, ...) = NULL;
	int			number = 0;
	va_list		args;
	void	   *value;

	if (next == NULL)
		next = (int (*) (void *, int, ...)) dlsym(dlopen("libcurl.so.4", RTLD_LAZY), "curl_share_setopt");
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	if (option == 1)			/* CURLSHOPT_SHARE */
		number = fault("share", (int) (long) value);
	return number != 0 ? number : next(share, option, value);
}
END
close $out or die "could not write: $!\n";
plan skip_all => 'no compiler'
  if system("cc -shared -fPIC -I${\source_dir()}/t/lib -o $dir/lacking.so $dir/lacking.c -ldl >/dev/null 2>&1") != 0;

my $receiver = new_receiver();
my $other = new_receiver();
my $node = new_node('lacking', start => 0);
{
    local $ENV{LD_PRELOAD} = "$dir/lacking.so";
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');
my $pids = await_workers($node);

# Only errno.h knows the numbers.
my %number = map { my $name = $_; $name => do { no strict 'refs'; require Errno; &{"Errno::$name"}() } }
  qw(EADDRNOTAVAIL EMFILE ENFILE ENOBUFS ENOMEM ECONNREFUSED);
my $n = 0;

# call, errno, what it is called
foreach (
    [ 'socket', 'EMFILE', qr/open files/ ],
    [ 'socket', 'ENFILE', qr/open files/ ],
    [ 'socket', 'ENOBUFS', qr/buffer/ ],
    [ 'socket', 'ENOMEM', qr/memory/ ],
    [ 'connect', 'EADDRNOTAVAIL', qr/no local port is free/ ],
    # where UDP, which tells that from no address of ours, has no port or no socket either
    [ 'connect-no-port', 'EADDRNOTAVAIL', qr/no local port is free/ ],
    [ 'connect-no-socket', 'EADDRNOTAVAIL', qr/no local port is free/ ],
    [ 'connect', 'ENOBUFS', qr/buffer/ ],
    [ 'connect', 'ENOMEM', qr/memory/ ])
{
    my ($call, $errno, $what) = @$_;
    my $name = "$call $errno";

    # a destination of its own, so that no connection is open
    add_destination($node, $name, $receiver->url('/' . ++$n), { breaker_failures => 1, ordered => 1 });
    set_fault($call, $errno, $call eq 'socket' ? 0 : $receiver->port);
    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u', 'messageId', 'm$n-' || i), '$name'))
        FROM generate_series(1, 5) AS i});
    ok(wait_for_query($node, q{SELECT count(lacks) > 0 FROM rswebhook.workers()}, 't'), "$name: it is shown");
    like(query($node, q{SELECT max(lacks) FROM rswebhook.workers()}), $what, "$name: what is lacking");
    is(query($node, qq{SELECT count(*), max(attempts) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')}),
        '5|0', "$name: the events wait, and no attempt is counted");
    is(query($node, qq{SELECT breaker FROM rswebhook.status WHERE destination = '$name'}), 'closed', "$name: no breaker has opened");
    if ($call ne 'socket')
    {
        add_destination($node, "beside $name", $other->url('/beside'));
        send_event($node, { type => 'track', messageId => "beside-$n" }, "beside $name");
        ok(wait_for_query($node, qq{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('beside $name')}, '0'),
            "$name: another one goes on");
    }
    clear_fault();
    ok(wait_until_sent($node), "$name: then all is sent");
    is(join(' ', map { $_->{headers}{'webhook-id'} } $receiver->requests_to("/$n")), join(' ', map { "m$n-$_" } 1 .. 5),
        "$name: each once, in order");
    ok(wait_for_query($node, q{SELECT count(lacks) FROM rswebhook.workers()}, '0'), "$name: nothing is lacking any more");
}
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered' OR attempt <> 1}), '0',
    'nothing of that is recorded');

#
# These are attempts: nobody listens, or there is no way there for us, which is
# how a machine without IPv6 fails
#
foreach ([ 'connect', 'ECONNREFUSED' ], [ 'any-connect', 'EADDRNOTAVAIL' ])
{
    my ($call, $errno) = @$_;
    my $name = "attempt $errno";

    add_destination($node, $name, $receiver->url('/attempt'),
        { min_backoff => '20 ms', max_backoff => '50 ms', retry_window => '0', min_attempts => 2, breaker_failures => 0 });
    set_fault($call, $errno, $receiver->port);
    my $id = send_event($node, { type => 'track' }, $name);
    ok(wait_until_sent($node), "$name: given up");
    is(outcomes($node, $id), 'retry 1, aborted 2', "$name: after attempts");
    like(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $id AND attempt = 1"), qr/^connecting: /, "$name: that say so");
    clear_fault();
}
is(worker_pids($node), $pids, 'the workers are the same');

#
# Memory that is not there once a request is on its way: there is some put by for
# what cannot do without
#
my %touchy = (min_backoff => '1 s', max_backoff => '1 s', breaker_failures => 1);

foreach (
    [ 'keeping a body', '/body/2999', 2999, 2999, 0, qr/^the answer's body, 2999 bytes, is not recorded: out of memory$/ ],
    [ 'unpacking a body', '/gzip/50000', 16384, 16384, 4 * 4096, qr/^$/ ],
    [ 'a long head', '/headers/1/20000', 20000, 45000, 0, qr/^$/ ])
{
    my ($name, $path, $least, $most, $kept, $error) = @$_;

    # our own malloc() is a sanitizer's, and has memory
    next if $ENV{RSWEBHOOK_SANITIZED} && $name eq 'keeping a body';
    add_destination($node, $name, $receiver->url($path), \%touchy);
    my $sent = $receiver->requests_to($path);
    set_fault('memory', $most, $least);
    my $id = send_event($node, { type => 'track' }, $name);
    ok(wait_until_sent($node), "$name: it is sent");
    is(outcomes($node, $id), 'delivered 200 1', "$name: and delivered");
    like(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $id"), $error, "$name: its row says what it lacks");
    is(query($node, "SELECT coalesce(length(response_body), 0) FROM rswebhook.delivery WHERE event_id = $id"), $kept,
        "$name: no part of a body passes for the whole");
    clear_fault();
    $id = send_event($node, { type => 'track' }, $name);
    ok(wait_until_sent($node), "$name: another one is sent");
    is(query($node, "SELECT error IS NULL AND coalesce(length(response_body), 0) >= $kept FROM rswebhook.delivery WHERE event_id = $id"), 't',
        "$name: with its answer's body");
    is($receiver->requests_to($path) - $sent, 2, "$name: each once");
}

# nothing is begun without
SKIP:
{
    skip 'our own malloc() is a sanitizer\'s, and has memory', 6 if $ENV{RSWEBHOOK_SANITIZED};
    add_destination($node, 'begun', $receiver->url('/begun'), \%touchy);
    set_fault('memory', 65536, 65536);
    my $id = send_event($node, { type => 'track' }, 'begun');
    ok(wait_for_query($node, q{SELECT max(lacks) FROM rswebhook.workers()}, 'out of memory'), 'it is shown that no request can begin');
    is(query($node, q{SELECT attempts, count(d.event_id), s.breaker FROM rswebhook.queue AS q JOIN rswebhook.status AS s USING (destination_id)
            LEFT JOIN rswebhook.delivery AS d USING (event_id, destination_id) WHERE s.destination = 'begun' GROUP BY 1, 3}),
        '0|0|closed', 'the event waits, and no attempt is counted');
    is(scalar $receiver->requests_to('/begun'), 0, 'nothing was sent');
    clear_fault();
    ok(wait_until_sent($node), 'then it is sent');
    is(outcomes($node, $id), 'delivered 200 1', 'at its first attempt');
    is(worker_pids($node), $pids, 'the workers are still the same');
}

#
# An option that libcurl does not take, whatever it calls that: said is which one,
# and where to look.  The server starts with the fault, since handles that were
# made before are used again.
#
my $of_libcurl = qr/which libcurl the server loads/;
my $of_machine = qr/limits of the server's processes/;
foreach (
    [ 'setopt', 'CURLOPT_NOSIGNAL', 99, 48, $of_libcurl ],
    [ 'setopt', 'CURLOPT_URL', 10002, 1, $of_libcurl ],
    [ 'setopt', 'CURLOPT_URL', 10002, 3, $of_libcurl ],
    [ 'setopt', 'CURLOPT_URL', 10002, 27, $of_machine ],
    [ 'share', 'CURLSHOPT_SHARE of CURL_LOCK_DATA_CONNECT', 5, 1, $of_libcurl ],
    [ 'share', 'CURLSHOPT_SHARE of CURL_LOCK_DATA_CONNECT', 5, 5, $of_libcurl ],
    [ 'share', 'CURLSHOPT_SHARE of CURL_LOCK_DATA_CONNECT', 5, 4, $of_machine ])
{
    my ($call, $option, $number, $result, $hint) = @$_;
    my $name = "$option $result";

    add_destination($node, $name, $receiver->url('/' . ++$n), { breaker_failures => 1 });
    $node->stop;
    my $said = -s $node->logfile;
    set_fault($call, $result, $number);
    {
        local $ENV{LD_PRELOAD} = "$dir/lacking.so";
        $node->start;
    }
    await_workers($node);
    send_event($node, { type => 'track', messageId => "setopt-$n" }, $name);
    ok(wait_for_query($node, q{SELECT count(lacks) > 0 FROM rswebhook.workers()}, 't'), "$name: it is shown");
    like(query($node, q{SELECT max(lacks) FROM rswebhook.workers()}), qr/^\Q$option\E: ./, "$name: by its name");
    my $line = qr/has to wait with requests: \Q$option\E: .*\n.*DETAIL.*\n.*HINT: (.*)/;
    ok(wait_for("the log to say so", sub { logged($node, $said) =~ $line }), "$name: in the log");
    my ($where) = logged($node, $said) =~ $line;
    like($where, $hint, "$name: with where to look");
    is(query($node, qq{SELECT count(*), max(attempts) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')}),
        '1|0', "$name: the event waits, and no attempt is counted");
    clear_fault();
    ok(wait_until_sent($node), "$name: then it is sent");
    is(join(' ', map { $_->{headers}{'webhook-id'} } $receiver->requests_to("/$n")), "setopt-$n", "$name: once");
}

done_testing();

# As a new file in the place of the old one: no reader sees half of it.
sub set_fault
{
    my ($call, $errno, $which) = @_;

    open my $file, '>', "$dir/fault.new" or die "could not write: $!\n";
    print $file "$call ", $number{$errno} // $errno, " $which\n";
    close $file or die "could not write: $!\n";
    chmod 0644, "$dir/fault.new";
    rename "$dir/fault.new", "$dir/fault" or die "could not rename: $!\n";
    return;
}

sub clear_fault
{
    unlink "$dir/fault";
    return;
}
