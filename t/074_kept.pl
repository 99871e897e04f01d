# Connections that are kept: receivers close them whenever they like, and that
# costs no event an attempt; and they are kept no longer than they may be.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Ledgers;
use Nginx;
use NodeReceiver;
use RswebhookTest;
use Sockets;
use Test::More;

plan skip_all => 'no nginx' unless defined Nginx::program();

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 3,
    breaker_failures => 0,
    timeout => '30 s');
my $node = new_node('kept');
my $pids = worker_pids($node);
my $missing = tls_is_missing();
my $certificates = $missing ? undef : Certificates->new(temp_dir('certificates'));
my %trusting = (%hasty, $certificates ? (ca_cert => $certificates->text('ca.pem')) : ());
my $receiver = new_receiver();
my $relay;

test_idle_nginx('http', '');
test_kept('http', $receiver->url(''), \%hasty);
test_kept_failures('http', $receiver->url(''), \%hasty);

SKIP:
{
    skip $missing, 1 if $missing;

    test_idle_nginx('https', 'ssl');
    test_idle_nginx('h2', 'ssl http2');
    foreach my $protocol ('TLSv1.2', 'TLSv1.3')
    {
        test_announced_end($protocol);
    }
    $relay = NodeReceiver->new(temp_dir('node'), $certificates, relay => [$receiver]);
    my $url = 'https://127.0.0.1:' . $relay->relay_port(0);
    test_kept('https', $url, \%trusting);
    test_kept_failures('https', $url, \%trusting);
}
test_lifetime();

# what a receiver hides is repeated, and nginx has another ledger
my @wrong = grep { !/^nginx|kept-hidden.*taken 2 times/ } disagreements($node, $receiver);
is(join("\n", @wrong), '', 'what is recorded is what was received');
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

sub tls_is_missing
{
    return 'libcurl before 7.77 takes no CA of its own' unless libcurl_at_least(7, 77);
    return 'no openssl' unless Certificates::program();
    return NodeReceiver::missing();
}

sub tls_of_nginx
{
    # a session of TLS 1.2 is resumed only where the receiver remembers it, which
    # nginx has to be told
    return "ssl_session_cache shared:s:1m; ssl_certificate @{[ $certificates->file('server.pem') ]};"
      . " ssl_certificate_key @{[ $certificates->file('server.key') ]};";
}

# A receiver that closes what was idle for a second, and then restarts
sub test_idle_nginx
{
    my ($protocol, $listen) = @_;
    my $dir = temp_dir('nginx');
    my $ssl = $listen && tls_of_nginx();
    my $nginx = Nginx->new($dir, listen => $listen, server => "keepalive_timeout 1s; $ssl",
        root => 'return 200 "session: $ssl_session_reused";');
    my $name = "nginx-$protocol";
    my $send = sub {
        my ($what, $n) = @_;
        send_all($node, map { [ $name, "${name}_${what}_$_", "$nginx->{url}/ok" ] } 1 .. $n);
        ok(wait_until_sent($node), "$protocol, $what: nothing is owed any more");
    };

    $nginx->{url} = $nginx->url('', $listen ? 'https' : 'http');
    add_destination($node, $name, $nginx->{url}, { %trusting, $listen ? () : (ca_cert => undef), max_in_flight => 100 });
    $send->('many', 100);
    wait_for('the connections to end', sub { !sockets_to($pids, $nginx->{port}) });
    is(join(' ', sockets_to($pids, $nginx->{port})), '', "$protocol: no socket waits to be closed");
    $send->('quiet', 1);
    is(query($node, qq{
            SELECT response_body FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
            WHERE e.event->>'messageId' = '${name}_quiet_1'}),
        'session: r', "$protocol: the next connection resumes the TLS session")
      if $listen;

    $send->('more', 100);
    $nginx->stop;
    $nginx->start($nginx->{port}) or die "nginx did not start again\n";
    $send->('restarted', 10);

    my %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^\Q$name\E_/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', "$protocol: each event by its first attempt");
    $nginx->stop;
    return;
}

# The end of TLS that comes right after an answer is no second answer: what follows
# is sent on one connection
sub test_announced_end
{
    my ($protocols) = @_;
    my $ssl = tls_of_nginx() . " ssl_protocols $protocols;";
    my $nginx = Nginx->new(temp_dir('nginx'), listen => 'ssl', server => "keepalive_timeout 5ms; $ssl");
    my $name = "nginx-announced-" . $protocols =~ tr/./-/r;
    my $url = $nginx->url('/ok', 'https');
    my $send = sub {
        my ($id) = @_;
        send_all($node, [ $name, "$name-$id", $url ]);
        wait_until_sent($node);
    };

    add_destination($node, $name, $url, \%trusting);
    foreach my $n (1 .. 5)
    {
        $send->("ends-$n");
        ok(wait_for('the end', sub { !sockets_to($pids, $nginx->{port}) }), "$name: an end");
    }
    $nginx->stop;
    $nginx->{server} = $ssl;
    $nginx->start($nginx->{port}) or die "nginx did not start again\n";
    $send->("kept-$_") foreach 1 .. 10;
    my @kept;
    wait_for('ten requests', sub { @kept = $nginx->requests(qr/kept/); @kept == 10 });
    my %connections = map { $_->{connection} => 1 } @kept;
    is(scalar keys %connections, 1, "$name: connections are kept afterwards");
    $nginx->stop;
    return;
}

# One connection does for all, when nothing happens to it
sub test_kept
{
    my ($protocol, $url, $columns) = @_;

    add_destination($node, $protocol, $url, $columns);
    foreach my $n (1 .. 10)
    {
        send_all($node, [ $protocol, "${protocol}_kept_$n", "$url/kept-alive" ]);
        ok(wait_until_sent($node), "$protocol, kept: nothing is owed any more") if $n == 10;
        wait_until_sent($node);
    }
    my %connections = map { $_->{connection} => 1 } grep { $_->{headers}{'webhook-id'} =~ /^\Q${protocol}_kept_\E/ } $receiver->requests;
    is(scalar keys %connections, 1, "$protocol: ten events in turn, one connection");
    return;
}

# Words after /kept, and what becomes of an event then: not a byte came back, so
# it is repeated; or one did, and it is not; or it was not a kept one.
sub test_kept_failures
{
    my ($protocol, $url, $columns) = @_;
    my %case = (
        'kept/close' => 'delivered 200 1',
        'kept/reset' => 'delivered 200 1',
        'kept/hidden' => 'delivered 200 1',
        'kept/503' => 'retry 503 1, retry 503 2, aborted 503 3',
        'close' => 'retry 1, retry 2, aborted 3',
        'reset' => 'retry 1, retry 2, aborted 3');
    my (%expected, %times);

    add_destination($node, "$protocol-failures", $url, $columns);
    foreach my $case (sort keys %case)
    {
        foreach my $round (1 .. 3)
        {
            my $id = join '_', "$protocol-failures", $case =~ s/\W/-/gr, $round;

            # one that is kept, and then the one that it happens to
            send_all($node,
                [ "$protocol-failures", "${id}_a", "$url/ok", 'u' ],
                [ "$protocol-failures", "${id}_b", "$url/$case", 'u' ]);
            ok(wait_until_sent($node), "$protocol, $case: nothing is owed any more") if $round == 3;
            wait_until_sent($node);
            $expected{"${id}_b"} = $case{$case};
        }
    }

    # many kept ones, each of which fails
    add_destination($node, "$protocol-all", $url, { %$columns, max_in_flight => 12 });
    foreach my $round (1 .. 2)
    {
        send_all($node, map { [ "$protocol-all", "$protocol-all_${round}_a$_", "$url/delay/100/ok" ] } 1 .. 12);
        wait_until_sent($node);
        foreach my $n (1 .. 12)
        {
            my $id = "$protocol-all_${round}_b$n";
            send_all($node, [ "$protocol-all", $id, "$url/kept/" . ($round == 1 ? 'close' : 'reset') ]);
            $expected{$id} = 'delivered 200 1';
        }
        ok(wait_until_sent($node), "$protocol, all kept ones fail, $round: nothing is owed any more");
    }

    my %recorded = attempts($node);
    my @wrong = map { "$_: $recorded{$_}, not $expected{$_}" } grep { ($recorded{$_} // '') ne $expected{$_} } sort keys %expected;
    is(join("\n", @wrong), '', "$protocol: what fails on a kept connection only is repeated on a new one");
    return;
}

# No connection is used for longer than the setting says, even if it is in use
sub test_lifetime
{
    my $name = 'lifetime';
    my $url = $receiver->url('/lifetime');
    my $n = 0;
    my $requests = sub { return $receiver->requests_to('/lifetime') };
    my $connections = sub { my %seen = map { $_->{connection} => 1 } $requests->(); return keys %seen };

    $node->append_conf('postgresql.conf', "rswebhook.connection_lifetime = 1s\n");
    $node->reload;
    add_destination($node, $name, $url, \%hasty);
    ok(wait_for_query($node, q{SELECT current_setting('rswebhook.connection_lifetime', true)}, '1s'), 'a longest life is set');

    ok( wait_for(
            'the third connection',
            sub {
                send_all($node, [ $name, "lifetime_" . ++$n, $url ]);
                wait_until_sent($node);
                return $connections->() >= 3;
            }),
        'connections are replaced when they are old');

    # as the worker has it: the receiver may be late to see a request
    my %started = map { $_->{id} => $_->{at} } query_rows($node, q{
        SELECT e.event->>'messageId' AS id, extract(epoch FROM v.started_at) AS at
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id});
    my (%first, %last, @ages);
    my $before;
    foreach my $request ($requests->())
    {
        my ($at, $connection) = ($started{ $request->{headers}{'webhook-id'} }, $request->{connection});

        push @ages, $at - $first{$before} if defined $before && $before != $connection;
        $first{$connection} //= $at;
        $last{$connection} = $at;
        $before = $connection;
    }
    my ($longest) = sort { $b <=> $a } map { $last{$_} - $first{$_} } keys %first;
    my ($soonest) = sort { $a <=> $b } @ages;
    cmp_ok($longest, '<', 3, sprintf 'the longest life is %.1f s', $longest);
    cmp_ok($soonest, '>', 0.9, sprintf 'and none is replaced after less than %.1f s', $soonest);
    return;
}
