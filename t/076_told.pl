# What is written down is what happened: where an attempt ended, whose outcome a
# proxy's refusal is, whose certificate was shown, and what a status is worth
# whose body cannot be decoded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Ledgers;
use Nginx;
use NodeReceiver;
use RswebhookTest;
use Test::More;

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    timeout => '30 s');
my $receiver = new_receiver();
my $node = new_node('told', conf => "rswebhook.max_event_size = 32MB\nrswebhook.max_request_size = 32MB\n");
my $pids = worker_pids($node);
my $missing = tls_is_missing();
my $certificates = $missing ? undef : Certificates->new(temp_dir('certificates'));
my %trusting = (%hasty, $certificates ? (ca_cert => $certificates->text('ca.pem')) : ());
my @proxies;
my $tls = $missing ? undef : NodeReceiver->new(temp_dir('node'), $certificates, relay => [$receiver]);

test_where_it_ended();
test_proxy();
test_certificates();
test_encodings();
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

sub tls_is_missing
{
    return 'libcurl before 7.77 takes no CA of its own' unless libcurl_at_least(7, 77);
    return 'no openssl' unless Certificates::program();
    return NodeReceiver::missing();
}

# A receiver that does the same whatever it is asked for
sub new_receiver_url
{
    push @proxies, new_receiver('--path', @_);
    return $proxies[-1]->url('');
}

# Each on a connection of its own, which is new: a kept one is another matter
sub test_where_it_ended
{
    my %base = (http => $receiver->url(''));
    my $wait = qr/^waiting for an answer: /;
    my $send = qr/^sending: /;
    my (%expected, @events);
    my $add = sub {
        my ($name, $base, $path, $method, $size, $error) = @_;

        add_destination($node, $name, $base, { %trusting, $base =~ /^https/ ? () : (ca_cert => undef), method => $method });
        push @events, [ $name, $name, "$base/$path", undef, $size ];
        $expected{$name} = $error;
    };

    if (!$missing)
    {
        $base{https} = 'https://127.0.0.1:' . $tls->relay_port(0);
        $base{h2} = $tls->url('') if libcurl_at_least(7, 80);
    }
    foreach my $protocol (sort keys %base)
    {
        my @ends = $protocol eq 'h2' ? ('together/1/socket', 'together/1/destroy') : ('reset', 'close');

        foreach my $end (@ends)
        {
            my $id = "$protocol-" . $end =~ s/\W/-/gr;

            $add->("${id}_small", $base{$protocol}, $end, 'POST', 10, $wait);
            $add->("${id}_get", $base{$protocol}, $end, 'GET', 10, $wait);
            $add->("${id}_large", $base{$protocol}, $end, 'PUT', 300_000, $wait);
            $add->("${id}_in-the-middle", $base{$protocol},
                $protocol eq 'h2' ? "early/0/$end" : "early/100000/$end",
                'POST', $protocol eq 'https' ? 16_000_000 : 5_000_000, $send);    # a relay has buffers, too

            # after one that is kept, which is tried first
            $add->("${id}_kept", $base{$protocol}, $end, 'POST', 10, $wait);
        }
    }
    add_destination($node, 'proxied_reset', 'http://shop.invalid/', { %hasty, proxy => new_receiver_url('/reset') });
    push @events, [ 'proxied_reset', 'proxied_reset', 'http://shop.invalid/reset' ];
    $expected{proxied_reset} = $wait;

    # an interim answer is not one, and a final one's first line is
    $add->('interim', $base{http}, 'raw/close/' . escaped("HTTP/1.1 100 C\r\n\r\n"), 'POST', 10, $wait);
    $add->('interim_half', $base{http}, 'raw/close/' . escaped("HTTP/1.1 103 E\r\nLink: <x>"), 'POST', 10, $wait);
    $add->('interim_begun', $base{http}, 'raw/close/' . escaped("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nA: b"),
        'POST', 10, qr/^receiving the answer: /);

    # one after the other: none finds another one's connection
    foreach (@events)
    {
        my ($name) = @$_;

        if ($name =~ /^(\w+)-.*_kept$/)
        {
            send_all($node, [ $name, "before_$name", "$base{$1}/ok" ]);
            wait_until_sent($node);
        }
        send_all($node, $_);
        wait_until_sent($node);
    }
    my %error = map { $_->{id} => $_ } query_rows($node, q{
        SELECT e.event->>'messageId' AS id, error, outcome, status
        FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id WHERE attempt = 1});
    foreach my $name (sort keys %expected)
    {
        is($error{$name}{outcome}, 'retry', "$name: outcome");
        like($error{$name}{error}, $expected{$name}, "$name: error");
        is(defined $error{$name}{status}, $expected{$name} =~ /receiving/, "$name: a status, if one was received");
    }
    return;
}

# A proxy that wants to know who we are is no answer of the receiver's
sub test_proxy
{
    my $proxy = new_receiver_url('/status/407');
    my %url = (http => 'http://shop.invalid/x', https => 'https://shop.invalid/x');

    foreach my $scheme (sort keys %url)
    {
        add_destination($node, "proxy-$scheme", $url{$scheme}, { %hasty, proxy => $proxy });
        send_all($node, map { [ "proxy-$scheme", "proxy-${scheme}_$_", $url{$scheme} ] } 1 .. 3);
    }
    ok(wait_until_sent($node), 'a proxy says 407: nothing is owed any more');
    my %recorded = attempts($node);
    foreach my $scheme (sort keys %url)
    {
        like($recorded{"proxy-${scheme}_$_"}, qr/^retry( 407)? 1, aborted( 407)? 2$/, "a proxy says 407, $scheme: tried again") foreach 1 .. 3;
    }
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE error LIKE 'receiving the answer:%' AND status IS NULL}), '0',
        'nothing was received without a status');

    # whatever it says to CONNECT, and however much of that, it is the proxy that says it
    my %says = (headers => '/headers/10000/60', long => '/headers/1/200000', hints => '/interim/1/ok', gone => '/status/410', closes => '/close', resets => '/reset');
    foreach my $name (sort keys %says)
    {
        add_destination($node, "proxy-$name", $url{https}, { %hasty, proxy => new_receiver_url($says{$name}) });
        send_all($node, [ "proxy-$name", "proxy-$name", $url{https} ]);
    }
    ok(wait_until_sent($node), 'a proxy says other things');
    is(query($node, q{
            SELECT string_agg(concat_ws(' ', d.name, outcome, status, attempt, error), ', ')
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id
            WHERE d.name IN ('proxy-} . join("', 'proxy-", keys %says) . q{')
                AND concat_ws(' ', outcome, status, attempt, error) !~ '^(retry 1|aborted 2) connecting: '}),
        '', 'which is while it is connected to');
    return;
}

# One who has the certificate, and not its key, is not served on the connection
# of one who has both.
sub test_certificates
{
SKIP:
    {
        skip $missing, 1 if $missing;
        skip 'no nginx', 1 unless defined Nginx::program();

        my $server = join ' ', map { "$_;" }
          "ssl_certificate @{[ $certificates->file('server.pem') ]}",
          "ssl_certificate_key @{[ $certificates->file('server.key') ]}",
          "ssl_client_certificate @{[ $certificates->file('ca.pem') ]}", 'ssl_verify_client on';
        my %certificate = (%trusting, client_cert => $certificates->text('client.pem'));
        my %columns = (
            right => { %certificate, client_key => $certificates->text('client.key') },
            wrong => { %certificate, client_key => $certificates->text('foreign.key') },
            none => \%trusting);
        my %nginx;

        foreach my $protocol ('https', 'h2')
        {
            foreach my $order ('right wrong none right wrong', 'wrong right wrong none')
            {
                my $id = "$protocol-" . $order =~ s/ /-/gr;
                my $nginx = $nginx{$id} = Nginx->new(temp_dir('nginx'),
                    listen => $protocol eq 'h2' ? 'ssl http2' : 'ssl', server => $server);
                my $url = $nginx->url('', 'https');
                my $n = 0;

                add_destination($node, "$id $_", $url, $columns{$_}) foreach sort keys %columns;
                foreach my $who (split / /, $order)
                {
                    $n++;
                    send_all($node, map { [ "$id $who", "${id}_${who}_$n-$_", "$url/ok" ] } 1 .. 3);
                    ok(wait_until_sent($node), "$id, $who: nothing is owed any more");
                }

                # all at the same time
                send_all($node, map { my $i = $_; map { [ "$id $_", "${id}_${_}_all-$i", "$url/ok" ] } 'right', 'wrong', 'none' } 1 .. 5);
                ok(wait_until_sent($node), "$id, together: nothing is owed any more");
            }
        }

        my %recorded = attempts($node);
        $_->stop foreach values %nginx;
        foreach my $id (sort keys %nginx)
        {
            my @right = grep { /^${id}_right_/ } sort keys %recorded;
            my @others = grep { /^${id}_(?:wrong|none)_/ } sort keys %recorded;
            my @served = grep { $_->{status} == 200 } $nginx{$id}->requests;

            is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} ne 'delivered 200 1' } @right), '',
                "$id: who has certificate and key is served");
            is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} =~ /delivered/ } @others), '', "$id: nobody else is");
            is(join("\n", grep { !/_right_/ } map { $_->{id} } @served), '', "$id: says the server, too");
        }
    }
    return;
}

# The status counts, whatever is said of the body
sub test_encodings
{
    my %encoding = (
        'garbage' => 'gzip',
        'deflated garbage' => 'deflate',
        'too many' => join(', ', ('gzip') x 50),
        'identities' => join(', ', ('identity') x 50),
        'unknown' => 'rot13',
        'brotli garbage' => 'br');
    my %outcome = (200 => 'delivered 200 1', 503 => 'retry 503 1, aborted 503 2', 410 => 'aborted 410 1');
    my (%expected, @events);
    my $url = $receiver->url('');

    add_destination($node, 'encodings', $url, \%hasty);
    foreach my $name (sort keys %encoding)
    {
        foreach my $status (sort keys %outcome)
        {
            my $id = "encoding_$status-" . $name =~ s/\W/-/gr;
            my $bytes = "HTTP/1.1 $status Whatever\r\nContent-Encoding: $encoding{$name}\r\nContent-Length: 16\r\n\r\nnot what it says";
            my $lines = "HTTP/1.1 $status Whatever\r\n" . "Content-Encoding: gzip\r\n" x 50 . "Content-Length: 16\r\n\r\nnot what it says";

            push @events, [ 'encodings', $id, "$url/raw/close/" . escaped($bytes) ];
            $expected{$id} = $outcome{$status};
            push @events, [ 'encodings', "encoding_$status-lines", "$url/raw/close/" . escaped($lines) ] if $name eq 'garbage';
            $expected{"encoding_$status-lines"} = $outcome{$status};
        }
    }
    send_all($node, @events);
    ok(wait_until_sent($node), 'bodies that cannot be decoded: nothing is owed any more');
    my %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}, not $expected{$_}" } grep { ($recorded{$_} // '') ne $expected{$_} } sort keys %expected),
        '', 'the status counts');
    is(join("\n", grep { /^encoding/ } disagreements($node, $receiver)), '', 'what is recorded is what was received');
    return;
}
