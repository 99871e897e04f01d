# The network guard: whatever name, number, redirect or proxy leads to a
# blocked address, the attempt ends there, and nobody there hears of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use Child;
use IO::Select;
use IO::Socket::INET;
use Names;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $port = $receiver->port;

# Somebody at another address of this machine, who must not be called.
my $victim = IO::Socket::INET->new(LocalAddr => '127.0.0.2', Listen => 10)
  or plan skip_all => 'there is no address 127.0.0.2 here';
my $forbidden = 'http://127.0.0.2:' . $victim->sockport;

my $name_dir = File::Temp->newdir('rswebhook_names_XXXXXX', TMPDIR => 1);
chmod 0755, "$name_dir";
my $names = Names->new("$name_dir");
my $node = new_node('guard', start => 0,
    conf => "rswebhook.blocked_networks = 'default, 127.0.0.0/8, ::1, 64:ff9b:1::/48'\n");
$names ? $names->start($node) : $node->start;
query($node, 'CREATE EXTENSION rswebhook');

# Tried twice within a moment, then given up.
my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    timeout => '2 s');

# ---------------------------------------------------------------------
# Ways to write an address
# ---------------------------------------------------------------------
my $mine = qr/^address 127\.0\.0\.1 is in the blocked network 127\.0\.0\.0\/8$/;
my $translated = qr/^address \S+ is in the blocked network 64:ff9b:1::\/48$/;
my $unnamed = qr/resolve|address|name/i;
my @forms = (
    [ '127.0.0.1', $mine ],
    [ '2130706433', $mine ],
    [ '017700000001', $mine ],
    [ '0x7f000001', $mine ],
    [ '0x7F.0.0.1', $mine ],
    [ '0177.0.0.01', $mine ],
    [ '127.1', $mine ],
    [ '127.0.1', $mine ],
    [ 'localhost', qr/blocked network/ ],
    [ 'LocalHost', qr/blocked network/ ],
    [ 'localhost.', qr/blocked network|$unnamed/ ],
    [ '127.0.0.1.', qr/blocked network|$unnamed/ ],
    [ 'ｌｏｃａｌｈｏｓｔ', qr/blocked network/ ],
    [ '①②⑦.⓪.⓪.①', $mine ],
    [ '１２７。１', $mine ],
    [ '0.0.0.0', qr/^address 0\.0\.0\.0 is in the blocked network 0\.0\.0\.0\/8$/ ],
    [ '0', qr/blocked network 0\.0\.0\.0\/8$/ ],
    [ '169.254.169.254', qr/blocked network 169\.254\.0\.0\/16$/ ],
    [ '2852039166', qr/blocked network 169\.254\.0\.0\/16$/ ],
    [ '224.0.0.1', qr/blocked network 224\.0\.0\.0\/4$/ ],
    [ '255.255.255.255', qr/blocked network 240\.0\.0\.0\/4$/ ],
    [ '[::1]', qr/^address ::1 is in the blocked network ::1\/128$/ ],
    [ '[0:0:0:0:0:0:0:1]', qr/blocked network ::1\/128$/ ],
    [ '[::]', qr/^address :: is in the blocked network ::\/128$/ ],
    [ '[::ffff:127.0.0.1]', qr/stands for 127\.0\.0\.1, which is in the blocked network 127\.0\.0\.0\/8$/ ],
    [ '[::ffff:7f00:1]', qr/stands for 127\.0\.0\.1/ ],
    [ '[::ffff:0.0.0.0]', qr/stands for 0\.0\.0\.0/ ],
    [ '[::127.0.0.1]', qr/stands for 127\.0\.0\.1/ ],
    [ '[64:ff9b::7f00:1]', qr/stands for 127\.0\.0\.1/ ],
    [ '[2002:7f00:1::]', qr/stands for 127\.0\.0\.1/ ],
    # local translators: by prefixes of 96, 64, 56 and 48 bits, whatever is in
    # the bits that a translator does not look at
    [ '[64:ff9b:1::7f00:1]', qr/stands for 127\.0\.0\.1/ ],
    [ '[64:ff9b:1:fffe::7f00:1]', qr/stands for 127\.0\.0\.1/ ],
    [ '[64:ff9b:1:0:a9:fea9:1400:0]', qr/stands for 169\.254\.169\.20,/ ],
    [ '[64:ff9b:1:a9:fe:a9fe::]', qr/stands for 169\.254\.169\.254/ ],
    [ '[64:ff9b:1:a9fe:a:1400::]', qr/stands for 169\.254\.10\.20,/ ],
    [ '[64:ff9b:1:a9fe:a:1400:808:808]', qr/stands for 169\.254\.10\.20,/ ],
    [ '[64:ff9b:1:a9fe:ff0a:1408:808:808]', qr/stands for 169\.254\.10\.20,/ ],
    [ '[64:ff9b:1:a9fe:a9:fe00::]', qr/blocked network 169\.254\.0\.0\/16$/ ],
    # for a public address they stand for no other; the rest of their network is
    # blocked here only so that nothing leaves this machine
    [ '[64:ff9b:1::808:808]', $translated ],
    [ '[64:ff9b:1:7::808:808]', $translated ],
    [ '[64:ff9b:1:fffe::808:808]', $translated ],
    [ '[64:ff9b:1:0:8:808:800:0]', $translated ],
    [ '[64:ff9b:1:8:8:808::]', $translated ],
    [ '[64:ff9b:1:808:8:800::]', $translated ],
    [ '[fe80::1]', qr/blocked network fe80::\/10$/ ],
    [ '[ff02::1]', qr/blocked network ff00::\/8$/ ],
    [ '[fd00:ec2::254]', qr/blocked network fd00:ec2::\/32$/ ]);

my %event_to;
foreach my $form (@forms)
{
    my $host = $form->[0];

    add_destination($node, "to $host", "http://$host:$port/", \%hasty);
    $event_to{$host} = send_to("to $host");
}
ok(wait_until_sent($node), 'nothing is owed any more');
foreach my $form (@forms)
{
    my ($host, $error) = @$form;

  SKIP:
    {
        my @rows = query_rows($node,
            "SELECT outcome, status, error, duration FROM rswebhook.delivery WHERE event_id = $event_to{$host} ORDER BY attempt");

        # without IPv6, libcurl does not get as far as the guard
        skip "no IPv6 here ($host)", 1
          if $host =~ /^\[/ && $rows[-1]{error} !~ /blocked/ && !have_ipv6();
        like($rows[-1]{error}, $error, "http://$host/");
        is(scalar @rows, 1, "http://$host/ is given up at once") if $rows[-1]{error} =~ /blocked/;
    }
}
is(scalar $receiver->requests, 0, 'and nobody was called');

# ---------------------------------------------------------------------
# Exceptions, and what a name hides
# ---------------------------------------------------------------------
set_networks('strict', '127.0.0.1');
$hasty{timeout} = '20 s';

add_destination($node, 'excepted', $receiver->url('/excepted'), \%hasty);
ok(wait_for('the exception', sub { last_error(send_and_wait('excepted')) eq '' }),
    'what is allowed wins over what is blocked');

add_destination($node, 'other', "$forbidden/", \%hasty);
my $blocked = qr/^address 127\.0\.0\.2 is in the blocked network 127\.0\.0\.0\/8$/;
like(last_error(send_and_wait('other')), $blocked, 'strict blocks what is not the public internet');

my $redirector = redirector("$forbidden/");
add_destination($node, 'redirected', "http://127.0.0.1:$redirector->{port}/", { %hasty, max_redirects => 3 });
like(last_error(send_and_wait('redirected')), $blocked, 'a redirect leads nowhere else');

add_destination($node, 'proxied', 'http://example.com/', { %hasty, proxy => $forbidden });
like(last_error(send_and_wait('proxied')), $blocked, 'a proxy is an address as well');

SKIP:
{
    skip 'no compiler to make a resolver with', 4 unless defined $names;

    # a name that is one address, and another one a moment later
    my $server = $names->server('127.0.0.1');
    $names->resolv_conf('nameserver 127.0.0.1');
    $server->set('rebind.test', A => ['127.0.0.1'], AAAA => [], ttl => 1);
    add_destination($node, 'rebound', "http://rebind.test:$port/rebound", \%hasty);
    is(last_error(send_and_wait('rebound')), '', 'a name that leads where it may');
    $server->set('rebind.test', A => ['127.0.0.2'], AAAA => [], ttl => 1);
    query($node, 'ALTER SYSTEM SET rswebhook.connection_lifetime = 0');
    query($node, 'SELECT pg_reload_conf()');
    ok(wait_for('the name to lead elsewhere', sub { last_error(send_and_wait('rebound')) =~ $blocked }),
        'is judged anew at each connection');
    query($node, 'ALTER SYSTEM RESET rswebhook.connection_lifetime');
    query($node, 'SELECT pg_reload_conf()');

    $server->set('both.test', A => [ '127.0.0.2', '127.0.0.1' ], AAAA => []);
    add_destination($node, 'both', "http://both.test:$port/both", \%hasty);
    is(last_error(send_and_wait('both')), '', 'of two addresses, the one that may be connected to is');
    is(scalar $receiver->requests_to('/both'), 1, 'and nothing else');
}

ok(!IO::Select->new($victim)->can_read(0), 'no connection to the other address was ever tried');

# ---------------------------------------------------------------------
# A connection that is kept alive does not outlive its permission
# ---------------------------------------------------------------------
SKIP:
{
    skip 'libcurl before 7.80 does not ask before it uses a connection again', 3
      unless libcurl_at_least(7, 80);
    my $before = () = $receiver->requests;
    set_networks('127.0.0.0/8', '');
    my $refused;
    ok(wait_for('the new setting',
            sub { ($refused = last_error(send_and_wait('excepted'))) ne '' }),
        'a reload takes back what was allowed');
    like($refused, $mine, 'also where a connection is open');
    my $after = () = $receiver->requests;
    last_error(send_and_wait('excepted')) foreach 1 .. 3;
    is(scalar(my @now = $receiver->requests), $after, 'nothing goes over it any more');
}

# ---------------------------------------------------------------------
# Who changes the settings
# ---------------------------------------------------------------------
query($node, 'CREATE ROLE mallory LOGIN; ALTER DATABASE postgres OWNER TO mallory');
foreach my $setting ('blocked_networks', 'allowed_networks', 'secret_sources')
{
    foreach my $command (
        "SET rswebhook.$setting = ''",
        "ALTER SYSTEM SET rswebhook.$setting = ''",
        "ALTER DATABASE postgres SET rswebhook.$setting = ''",
        "ALTER ROLE mallory SET rswebhook.$setting = ''",
        "SHOW rswebhook.$setting")
    {
        my ($status) = $node->psql('postgres', $command, extra_params => [ '-U', 'mallory' ]);
        isnt($status, 0, "an ordinary user's $command");
    }
}
foreach my $bad ('10.0.0.0/33', '10.0.0.1/8', 'example.com', '10.0.0.0/8,,::1', '1.2.3', 'stricter')
{
    my ($status, undef, $message) =
      $node->psql('postgres', "ALTER SYSTEM SET rswebhook.blocked_networks = '$bad'");
    like($message, qr/invalid value for parameter/, "\"$bad\" is refused");
}
foreach my $bad ('vault', 'env:', 'env:A B', 'file:relative', 'file:/run/../etc')
{
    my ($status, undef, $message) =
      $node->psql('postgres', "ALTER SYSTEM SET rswebhook.secret_sources = '$bad'");
    like($message, qr/invalid value for parameter/, "\"$bad\" is refused");
}

add_destination($node, 'no user', 'http://example.com/', \%hasty);
my ($status, undef, $message) = $node->psql('postgres',
    "UPDATE rswebhook.destination SET url = 'http://example.com\@127.0.0.1/' WHERE name = 'no user'");
like($message, qr/user name or password/, 'a URL has no user name that looks like a host');

done_testing();

sub send_to
{
    my ($destination) = @_;

    return send_event($node, { type => 'track' }, $destination);
}

sub send_and_wait
{
    my ($destination) = @_;
    my $id = send_to($destination);

    wait_until_sent($node);
    return $id;
}

# Of the last attempt, '' if it was delivered.
sub last_error
{
    my ($id) = @_;

    return query($node,
        "SELECT CASE outcome WHEN 'delivered' THEN '' ELSE coalesce(error, outcome) END
         FROM rswebhook.delivery WHERE event_id = $id ORDER BY attempt DESC LIMIT 1");
}

sub set_networks
{
    my ($blocked, $allowed) = @_;

    query($node, "ALTER SYSTEM SET rswebhook.blocked_networks = '$blocked'");
    query($node, "ALTER SYSTEM SET rswebhook.allowed_networks = '$allowed'");
    $node->reload;
    return;
}

sub have_ipv6
{
    open my $in, '<', '/proc/net/if_inet6' or return 0;
    return defined <$in>;
}

# A server that sends everybody to one place, as a process that ends with us.
sub redirector
{
    my ($location) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10)
      or die "could not listen: $@\n";

    Child::serve(
        $listener,
        sub {
            my ($client) = @_;
            my $length = 0;

            while (my $line = <$client>)
            {
                $length = $1 if $line =~ /^content-length: *(\d+)/i;
                last if $line =~ /^\r?\n$/;
            }
            read($client, my $body, $length);
            print $client "HTTP/1.1 307 Temporary Redirect\r\nLocation: $location\r\n"
              . "Content-Length: 0\r\nConnection: close\r\n\r\n";
            close $client;
        });
    return { port => $listener->sockport };
}
