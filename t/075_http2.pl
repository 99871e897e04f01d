# HTTP/2: answers before the body is read, streams that are refused, sessions
# that end with streams open, and TLS that never comes about.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use IO::Socket::INET;
use Ledgers;
use Nginx;
use NodeReceiver;
use RswebhookTest;
use Sockets;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();

my $certificates = Certificates->new(temp_dir('certificates'));
my $receiver = NodeReceiver->new(temp_dir('node'), $certificates);
my $narrow = NodeReceiver->new(temp_dir('node'), $certificates, max_streams => 1);

# room for many large events at once, of a destination that is new
my $node = new_node('http2', conf => "rswebhook.max_in_flight_size = 1GB\nrswebhook.max_in_flight = 40\n");
my $pids = worker_pids($node);
my %hasty = (Http2::hasty($certificates), timeout => '30 s');
my @ids;    # of events that must agree with the ledgers

test_early();
test_nginx();
test_refused();
test_one_stream();
test_ends();
test_handshakes();

# libcurl may lose an early answer and has to ask again
my %known = map { $_ => 1 } @ids;
is(join("\n", grep { $known{ (split /:/)[0] } && !/^early\S+: taken/ } disagreements($node, $receiver, $narrow)),
    '', 'what is recorded is what was received');
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

# Nothing is owed to that destination any more
sub sent
{
    my ($name) = @_;

    return wait_for_query($node, qq{
        SELECT count(*) FROM rswebhook.queue AS q JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE d.name = '$name'}, '0');
}

# RST_STREAM after a whole answer takes nothing back, whether NO_ERROR or CANCEL
sub test_early
{
    my %expected;
    my @events;

    add_destination($node, 'early', $receiver->url(''), \%hasty);
    foreach my $size (100, 10_000, 100_000, 900_000)
    {
        foreach my $code (0, 8)
        {
            foreach my $n (1 .. 3)
            {
                my $id = "early_200_${code}_${size}_$n";
                push @events, [ 'early', $id, $receiver->url("/early/$code/status/200"), undef, $size ];
                $expected{$id} = 'delivered 200 1';
                $id = "early_410_${code}_${size}_$n";
                push @events, [ 'early', $id, $receiver->url("/early/$code/status/410"), undef, $size ];
                $expected{$id} = 'aborted 410 1';
            }
            # each a destination of its own, which is held off then
            my $id = "early_429_${code}_$size";
            add_told($id);
            push @events, [ $id, $id, $receiver->url("/early/$code/retry-after/429/500"), undef, $size ];
            $expected{$id} = 'retry 429 1';
        }
    }
    # not early, to know that it is told the same way
    add_told('in-time_429');
    push @events, [ 'in-time_429', 'in-time_429', $receiver->url('/retry-after/429/500') ];
    $expected{'in-time_429'} = 'retry 429 1';
    send_all($node, @events);
    ok(wait_for_query($node, q{SELECT count(DISTINCT event_id) FROM rswebhook.delivery}, scalar @events),
        'early answers: each event has an outcome');
    ok(sent('early'), 'early: nothing is owed any more');

    my %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} ne $expected{$_} } sort keys %recorded),
        '', 'an answer before the body is read is the answer');
    is(query($node, q{
            SELECT count(*) FROM rswebhook.delivery
            WHERE outcome = 'retry' AND retry_at - started_at NOT BETWEEN interval '490 s' AND interval '700 s'}),
        '0', 'and the retry is when it says');
    push @ids, grep { /_(?:200|410)_/ } keys %expected;
    query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE '%\_429%'});
    return;
}

sub add_told
{
    my ($name) = @_;

    add_destination($node, $name, $receiver->url(''),
        { %hasty, max_backoff => '10 min', retry_after_factor => 1, retry_window => '3 h' });
    return;
}

# nginx answers at once and resets the stream
sub test_nginx
{
SKIP:
    {
        skip 'no nginx', 1 unless defined Nginx::program();

        my $dir = temp_dir('nginx');
        my $nginx = Nginx->new($dir, listen => 'ssl http2', server =>
              "ssl_certificate @{[ $certificates->file('server.pem') ]}; ssl_certificate_key @{[ $certificates->file('server.key') ]};");
        my $plain = Nginx->new(temp_dir('nginx'));

        foreach ([ 'h2', $nginx->url('', 'https') ], [ 'http', $plain->url('') ])
        {
            my ($name, $url) = @$_;

            add_destination($node, "nginx-$name", $url, \%hasty);
            send_all($node, map { [ "nginx-$name", "nginx-${name}_$_", "$url/ok", undef, 900_000 ] } 1 .. 10);
            ok(sent("nginx-$name"), "nginx, $name: nothing is owed any more");

            my %recorded = attempts($node);
            is(join("\n", map { "$_: $recorded{$_}" } grep { /^nginx-\Q$name\E/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
                '', "nginx, $name: large events, each by its first attempt");
        }
    }
    return;
}

# What the receiver says it did not look at may be sent again, and is
sub test_refused
{
    my %path = (refused => 'refuse/1', goaway => 'goaway');

    foreach my $name (sort keys %path)
    {
        add_destination($node, $name, $receiver->url(''), { %hasty, min_attempts => 5 });
        send_all($node,
            map({ [ $name, "${name}_$_", $receiver->url("/$path{$name}") ] } 1 .. 10),
            map({ [ $name, "${name}_beside_$_", $receiver->url('/delay/50/ok') ] } 1 .. 10));
        push @ids, map { ("${name}_$_", "${name}_beside_$_") } 1 .. 10;
        ok(sent($name), "$name: nothing is owed any more");

        my %recorded = attempts($node);
        is(join("\n", map { "$_: $recorded{$_}" } grep { /^${name}_/ && $recorded{$_} !~ /delivered 200 \d$/ } sort keys %recorded),
            '', "$name: all delivered in the end");
        is(join("\n", map { "$_: $recorded{$_}" } grep { /^${name}_beside/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
            '', "$name: those beside by their first attempt")
          if $name eq 'refused';
    }
    return;
}

sub test_one_stream
{
    add_destination($node, 'narrow', $narrow->url(''), \%hasty);
    send_all($node, map { [ 'narrow', "narrow_$_", $narrow->url('/delay/5/ok') ] } 1 .. 40);
    push @ids, map { "narrow_$_" } 1 .. 40;
    ok(sent('narrow'), 'one stream at a time: nothing is owed any more');

    my %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^narrow_/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'one stream at a time: each by its first attempt');
    return;
}

# A session that ends with three streams open ends all three, and at once,
# whether they are heard, still being sent or half answered. (Whether they are
# repeated at once is not our subject.)  Otherwise they would last for an hour.
sub test_ends
{
    foreach ([ 'goaway', '' ], [ 'destroy', '' ], [ 'socket', '' ], [ 'destroy', '/early/0', 900_000 ],
        [ 'socket', '/early/0', 900_000 ], [ 'destroy', '/half' ], [ 'socket', '/half' ])
    {
        my ($how, $before_it, $size) = @$_;
        my $end = $how . ($before_it =~ s/\W/-/gr);
        my $name = "end-$end";

        add_destination($node, $name, $receiver->url(''), { %hasty, min_attempts => 1, timeout => '1 h', low_speed_limit => 0 });
        send_all($node, [ $name, "${name}_first", $receiver->url('/ok') ]);
        sent($name);
        my $before = $receiver->unasked;

        # those that are repeated do not meet on one connection again
        send_all($node, map { [ $name, "${name}_$_", $receiver->url("$before_it/once/together/3/$how"), undef, $size ] } 1 .. 3);
        ok(sent($name), "$end: all streams have ended");
        cmp_ok(scalar(my @ended = $receiver->unasked), '>', $before, "$end: with the session");
    }
    return;
}

# Somebody who takes connections and says nothing, at one address; a proxy like
# that before a receiver that is well.
sub test_handshakes
{
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
      or die "could not listen: $@\n";
    my $silent = $listener->sockport;
    my %slow = (%hasty, min_attempts => 1, connect_timeout => '2 s', timeout => '2 s');

    # 1. as long as the time-out says, for each, and not one after the other, which
    # would take 16 s
    add_destination($node, 'silent', "https://127.0.0.1:$silent/", \%slow);
    add_destination($node, 'silent, all of it', "https://127.0.0.1:$silent/", { %slow, connect_timeout => '10 s' });
    foreach my $name ('silent', 'silent, all of it')
    {
        my $id = $name =~ s/\W+/-/gr;
        send_all($node, map { [ $name, "${id}_$_", "https://127.0.0.1:$silent/" ] } 1 .. 8);
        ok(sent($name), "$name: nothing is owed any more");
        my ($row) = query_rows($node, qq{
            SELECT count(*) AS n, max(extract(epoch FROM duration)) AS longest,
                extract(epoch FROM max(started_at + duration) - min(started_at + duration)) AS apart
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id WHERE d.name = '$name'});

        is($row->{n}, 8, "$name: an attempt each");
        cmp_ok($row->{longest}, '<', 8, sprintf '%s: none takes longer than it may (%.1f s)', $name, $row->{longest});
        cmp_ok($row->{apart}, '<', 7, sprintf '%s: all end at about the same time (%.1f s)', $name, $row->{apart});
    }

    # 2. nobody waits for another one's proxy
    my $fresh = NodeReceiver->new(temp_dir('node'), $certificates);
    add_destination($node, 'dead proxy', $fresh->url(''), { %slow, timeout => '1 h', connect_timeout => '1 h', proxy => "http://127.0.0.1:$silent" });
    add_destination($node, 'no proxy', $fresh->url(''), \%hasty);
    send_all($node, map { [ 'dead proxy', "dead-proxy_$_", $fresh->url('/ok') ] } 1 .. 3);
    ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'dead proxy'}, '3'),
        'three wait for a dead proxy');
    send_all($node, [ 'no proxy', 'no-proxy', $fresh->url('/ok') ]);
    ok(sent('no proxy'), 'another one needs no proxy');
    my %recorded = attempts($node);
    is($recorded{'no-proxy'}, 'delivered 200 1', 'and is delivered');
    is(query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'dead proxy'}), '3', 'while the others still wait');
    query($node, q{DELETE FROM rswebhook.destination WHERE name = 'dead proxy'});

    # 3. nor for a handshake of another destination that has another authority
    add_destination($node, 'wrong authority', $fresh->url(''), { %slow, ca_cert => $certificates->text('client.pem') });
    add_destination($node, 'right authority', $fresh->url(''), \%hasty);
    send_all($node, map { my $n = $_; map { [ "$_ authority", "${_}-authority_$n", $fresh->url('/ok') ] } 'wrong', 'right' } 1 .. 5);
    ok(sent('wrong authority') && sent('right authority'), 'nothing is owed any more');
    %recorded = attempts($node);
    is(join(', ', @recorded{ map { ("wrong-authority_$_", "right-authority_$_") } 1 .. 5 }),
        join(', ', ('aborted 1', 'delivered 200 1') x 5), 'trust is each destination\'s own');
    return;
}
