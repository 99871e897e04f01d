# What a receiver says over HTTP/2 that it has not taken (GOAWAY, no more streams)
# is sent again at once, within the same attempt, and what it has taken is not.
# Answers with very long heads, and such that do not end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use JSON::PP;
use Ledgers;
use NodeReceiver;
use RswebhookTest;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();

my $certificates = Certificates->new(temp_dir('certificates'));
my $node = new_node('http2_goaway', conf => "rswebhook.max_in_flight_size = 1GB\n");
my $pids = worker_pids($node);
my %hasty = (
    Http2::hasty($certificates),
    ordered => 0,
    max_in_flight => 32,
    # much longer than the test may wait
    timeout => '300 s',
    connect_timeout => '300 s');

test_taken();
test_never_taken();
test_held();
test_farewell();
test_wants_http1();
test_refuses_for_a_moment();
test_long_heads();
test_endless();
test_last_words();
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

# Whatever is said of six requests that it has not taken, each is delivered by its
# first attempt, at once, and once.
sub test_taken
{
    my %told;

    foreach my $code (0, 2, 11)
    {
        foreach my $warm (0, 1)
        {
            foreach my $takes (0, 2)
            {
                foreach my $end ('stay', 'close')
                {
                    $told{"code-$code-warm-$warm-takes-$takes-$end"} =
                      { at => 6, code => $code, warm => $warm, takes => $takes, end => $end };
                }
            }
        }
    }
    # while most of it is still to be sent; twice; without a chance to be read
    foreach my $takes (0, 2)
    {
        $told{"large-takes-$takes"} = { at => 6, code => 0, takes => $takes, early => JSON::PP::true, size => 900_000 };
        $told{"graceful-takes-$takes"} = { at => 6, code => 0, takes => $takes, graceful => JSON::PP::true };
    }
    $told{'reset'} = { at => 6, code => 0, end => 'reset' };
    $told{'again'} = { at => 1, code => 0, connections => 2 };

    # after an interim answer, which is none
    foreach my $code (0, 2)
    {
        $told{"interim-code-$code-takes-$_"} = { at => 6, code => $code, takes => $_, interim => JSON::PP::true } foreach 0, 2;
    }
    $told{'interim-again'} = { at => 1, code => 0, connections => 2, interim => JSON::PP::true };
    $told{"interim-refused-$_"} = { refuses => $_, interim => JSON::PP::true } foreach 2, 6;
    my $answered = run_receivers(\%told, 6);

    my %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'GOAWAY: each by its first attempt');
    is(join("\n", map { "$_: $answered->{$_}" } grep { $answered->{$_} != 1 } sort keys %$answered),
        '', 'and answered once');
    return;
}

# One that never takes any: a failure, and told as one, after a few connections
sub test_never_taken
{
    my %told = map { ("never-$_" => { at => 1, code => $_, connections => 1_000_000, end => 'close' }) } 0, 2;

    # also where HTTP/1.1 is not refused by TLS
    foreach my $bare ('close', 'reset')
    {
        $told{"never-$bare-goaway"} = { at => 1, code => 0, connections => 1_000_000, bare => $bare };
        $told{"never-$bare-refused"} = { refuses => 1_000_000, bare => $bare };
        $told{"never-$bare-interim"} = { refuses => 1_000_000, interim => JSON::PP::true, bare => $bare };
        $told{"never-$bare-wants"} = { wants => '', bare => $bare };
    }
    run_receivers(\%told, 3, min_attempts => 1);
    is(query($node, q{
            SELECT string_agg(DISTINCT concat_ws(' ', outcome, status, attempt, error), ', ')
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id
            WHERE d.name LIKE 'never-%'}),
        'aborted 1 waiting for an answer: the receiver refused the request or ended the connection; given up after 1 attempts',
        'never taken: a failure');
    return;
}

# No more streams, on a connection that is kept: another one is used, soon
sub test_held
{
    run_receivers({ held => { most => 0, warm => 1, at => 1, connections => 1_000_000 } }, 1);

    # the first one brings it about, those after it find it so
    my $url = query($node, q{SELECT url FROM rswebhook.destination WHERE name = 'held'});
    foreach my $n (1 .. 2)
    {
        send_all($node, [ 'held', "held_more_$n", $url ]);
        ok(wait_until_sent($node), 'no more streams: nothing is waited for');
    }
    my %recorded = attempts($node);
    is(join(', ', map { "$_: $recorded{$_}" } grep { /^held_/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'no more streams: each by its first attempt');
    return;
}

# A GOAWAY on a connection that is kept, and stays: each of many requests that are to
# go out on it finds another one
sub test_farewell
{
    my $receiver = NodeReceiver->new(temp_dir('node'), $certificates);
    my $url = $receiver->url('');

    add_destination($node, 'farewell', $url, { %hasty, max_in_flight => 64 });
    send_all($node, map { [ 'farewell', "farewell_first_$_", "$url/ok" ] } 1 .. 200);
    ok(wait_until_sent($node), 'as many as may be are in flight');
    foreach my $round (1 .. 5)
    {
        my $before = $receiver->unasked;

        send_all($node, [ 'farewell', "farewell_last_$round", "$url/then/20/silence/ok" ]);
        ok(wait_for('a farewell', sub { $receiver->unasked > $before }), 'GOAWAY, and the connection stays');
        send_all($node, map { [ 'farewell', "farewell_${round}_$_", "$url/ok" ] } 1 .. 60);
        ok(wait_until_sent($node), 'nothing is waited for');
    }
    my %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^farewell/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'farewell: each by its first attempt');
    return;
}

# HTTP_1_1_REQUIRED, of a stream or of the whole connection: that is how it is asked
# from then on, and what it said so of is not a failure
sub test_wants_http1
{
    my %told;

    foreach my $warm (0, 1)
    {
        my %both = (warm => $warm, http1 => JSON::PP::true);

        foreach my $end ('', 'stay', 'close')
        {
            my %says = (%both, $end ? (leaves => JSON::PP::true, end => $end) : ());

            $told{"wants-all-$warm-$end"} = { %says, wants => '' };
            $told{"wants-one-$warm-$end"} = { %says, wants => '_4' };
        }
        $told{"wants-early-$warm"} = { %both, wants => '', early => JSON::PP::true, size => 900_000 };
    }
    my $answered = run_receivers(\%told, 6);
    my %recorded = attempts($node);

    is(join("\n", map { "$_: $recorded{$_}" } grep { /^wants-/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'HTTP/1.1 is wanted: each by its first attempt');
    is(join("\n", map { "$_: $answered->{$_}" } grep { $answered->{$_} != 1 } sort keys %$answered),
        '', 'and answered once');

    # said of a stream it is heard at once, be it the first one of a connection or that an
    # interim answer came before; and what is said by HTTP/1.1 then is said of the event
    my %says = (200 => 'delivered 200 1', 302 => 'aborted 302 1', 410 => 'aborted 410 1', 503 => 'retry 503 1, aborted 503 2');
    my %of;
    foreach my $interim ('', 'interim-')
    {
        $of{"wants-$interim$_"} = { wants => '', http1 => JSON::PP::true, status1 => $_, $interim ? (interim => JSON::PP::true) : () }
          foreach keys %says;
    }
    # or that it is repeated for the second time
    $of{'wants-third-200'} = { wants => '', refuses => 2, http1 => JSON::PP::true };
    my ($by_http1, $by_http2) = run_receivers(\%of, 4, max_in_flight => 1);
    %recorded = attempts($node);
    foreach my $status (sort keys %says)
    {
        is(join("\n", map { "$_: $recorded{$_}" } grep { /^wants-(?:interim-|third-)?${status}_/ && $recorded{$_} ne $says{$status} } sort keys %recorded),
            '', "HTTP/1.1 is wanted, and is believed: $status");
    }
    is(join("\n", map { "$_: $by_http1->{$_}" } grep { $by_http1->{$_} != (/-503_/ ? 2 : 1) } sort keys %$by_http1), '', 'it is sent once');
    is(join(', ', map { "$_: $by_http2->{$_}" } sort keys %$by_http2), join(', ', map { "${_}_1: " . (/third/ ? 3 : 1) } sort keys %of), 'and the first one by HTTP/2, once');

    # a connection that breaks says nothing of HTTP/1.1
    run_receivers({ 'wants-broken' => { wants => '', http1 => JSON::PP::true, breaks => [ 2, 3, 5 ] } }, 3, max_in_flight => 1, min_attempts => 5);
    %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^wants-broken/ && $recorded{$_} !~ /delivered 200 \d$/ } sort keys %recorded),
        '', 'HTTP/1.1 is wanted, and its connection breaks: it is asked so again');

    # nor does what comes after the head of an answer undo it
    my %becomes = (200 => 'delivered 200 1', 404 => 'aborted 404 1', 500 => 'retry 500 1, aborted 500 2');
    foreach my $status (sort keys %becomes)
    {
        $answered = run_receivers({
                "wants-late-$status" => { wants => '', late => JSON::PP::true, status => $status },
                "wants-later-$status" => { wants => '', late => JSON::PP::true, status => $status, http1 => JSON::PP::true } },
            3, retry_after_factor => 0);
        %recorded = attempts($node);
        is(join("\n", map { "$_: $recorded{$_}" } grep { /^wants-late.*-${status}_/ && $recorded{$_} ne $becomes{$status} } sort keys %recorded),
            '', "HTTP/1.1 is wanted after an answer: that counts: $status");
        is(join("\n", map { "$_: $answered->{$_}" } grep { $answered->{$_} != ($status == 500 ? 2 : 1) } sort keys %$answered),
            '', "and it is sent once: $status");
    }

    # one that wants what it does not speak fails, and is told as one that does
    run_receivers({ 'lacks' => { wants => '' }, 'insists' => { wants => '', insists => JSON::PP::true } }, 3);
    %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^(?:lacks|insists)_/ && $recorded{$_} ne 'retry 1, aborted 2' } sort keys %recorded),
        '', 'HTTP/1.1 is wanted, and not there: a failure');
    return;
}

# Nothing over HTTP/2 for a moment, and nothing by HTTP/1.1 ever: what is said there is
# not said of the event
sub test_refuses_for_a_moment
{
    my %told = map { ("moment-$_" => { refuses => 5, http1 => JSON::PP::true, status1 => $_ }) } 400, 403, 421, 426, 505;

    # or not by HTTP/1.1 what it has taken so of others
    $told{"moment-odd-$_"} = { refuses => 12, http1 => JSON::PP::true, odd1 => JSON::PP::true, status1 => $_ } foreach 404, 505;
    run_receivers(\%told, 6, max_in_flight => 1, min_attempts => 8);
    my %recorded = attempts($node);

    is(join("\n", map { "$_: $recorded{$_}" } grep { /^moment-/ && $recorded{$_} !~ /^(?:retry [^,]*, )*delivered 200 \d$/ } sort keys %recorded),
        '', 'refused for a moment: HTTP/2 is spoken again');

    # where HTTP/2 takes nothing, one that HTTP/1.1 has refused goes by HTTP/2 first, and no other
    my ($by_http1, $by_http2) = run_receivers({ 'moment-rest' => { refuses => 1_000_000, http1 => JSON::PP::true, odd1 => JSON::PP::true, status1 => 410 } },
        9, max_in_flight => 1, min_attempts => 2);
    is(join(', ', map { "$_: $by_http1->{$_}" } sort keys %$by_http1), join(', ', map { "moment-rest_$_: " . ($_ % 2 ? 2 : 1) } 1 .. 9),
        'refused for longer: by HTTP/1.1');
    is(join(', ', map { "$_: $by_http2->{$_}" } sort keys %$by_http2), 'moment-rest_1: 6, moment-rest_2: 3, '
          . join(', ', map { "moment-rest_$_: 3" } 3, 5, 7, 9), 'and by HTTP/2 where that is in doubt');

    # what TLS has agreed on is spoken, whatever a status line says
    run_receivers({ 'moment-lies' => { lies => JSON::PP::true } }, 2);
    %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^moment-lies/ && $recorded{$_} !~ /^retry (?:200 )?1, aborted (?:200 )?2$/ } sort keys %recorded),
        '', 'half an answer over HTTP/1.1 is none');
    return;
}

# Longer than the buffer of older versions of libcurl, which lose it: by HTTP/1.1 then
sub test_long_heads
{
    my %told = map { ("head-$_" => { head => $_, http1 => JSON::PP::true }) } 10_000, 17_000, 40_000;

    run_receivers(\%told, 6);
    my %recorded = attempts($node);

    is(join("\n", map { "$_: $recorded{$_}" } grep { /^head-/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'long heads: each by its first attempt');

    # one that only speaks HTTP/2 after all is spoken to so again, once and for all
    run_receivers({ insistent => { head => 17_000, heads => 1, insists => JSON::PP::true } }, 6);
    %recorded = attempts($node);
    is(join("\n", map { "$_: $recorded{$_}" } grep { /^insistent/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'HTTP/2 only: each by its first attempt');
    return;
}

# Over HTTP/2 a head is the answer, whenever it comes and whatever becomes of the
# rest, be it that its time is over.  One that leads elsewhere is followed at once.
sub test_endless
{
    my (undef, $url) = Http2::told($certificates, {});
    my %there = (status => 307, location => $url, endless => JSON::PP::true);

    run_receivers({ elsewhere => \%there, hasty => { %there, hasty => JSON::PP::true, size => 900_000 } }, 2, max_redirects => 1, timeout => '5 s');
    is(query($node, q{
            SELECT string_agg(DISTINCT concat_ws(' ', d.name, outcome, status, attempt), ', ')
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id
            WHERE d.name IN ('elsewhere', 'hasty')}),
        'elsewhere delivered 200 1, hasty delivered 200 1', 'an endless redirect is followed');

    my %told = map { ("endless-$_" => { hasty => JSON::PP::true, endless => JSON::PP::true, size => $_ }) } 10, 900_000;

    run_receivers(\%told, 2, min_attempts => 1, timeout => '3 s');
    my %recorded = attempts($node);

    is(join("\n", map { "$_: $recorded{$_}" } grep { /^endless-/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
        '', 'a head is the answer, also of a stream without an end');
    return;
}

# An answer and a reset in one, on a connection that is new, so that HTTP/2 has
# something of its own to say and cannot
sub test_last_words
{
    my %becomes = (200 => 'delivered 200 1', 413 => 'aborted 413 1', 500 => 'retry 500 1, aborted 500 2');

    foreach my $status (sort keys %becomes)
    {
        my %told = map { ("last-$status-$_" => { status => $status, last => JSON::PP::true, size => $_ }) } 10, 20_000;

        # or before it has all of the event
        $told{"last-$status-early"} = { status => $status, last => JSON::PP::true, hasty => JSON::PP::true, size => 900_000 }
          if $status == 413;
        run_receivers(\%told, 20, max_in_flight => 1, retry_after_factor => 0);
        my %recorded = attempts($node);

        is(join("\n", map { "$_: $recorded{$_}" } grep { /^last-$status/ && $recorded{$_} ne $becomes{$status} } sort keys %recorded),
            '', "an answer and a reset in one: $status");
    }
    return;
}

# Receivers of t/lib/frames.js that are told what they do, and that many events for
# each, one before them if it is to be warm.  How often the event of each id was
# answered, and how often it was refused.
sub run_receivers
{
    my ($told, $events, %columns) = @_;
    my @names = sort keys %$told;
    my ($file, @urls) = Http2::told($certificates, map { $told->{$_} } @names);
    my %url;
    my @events;

    foreach my $name (@names)
    {
        $url{$name} = shift @urls;
        add_destination($node, $name, $url{$name}, { %hasty, %columns });
    }
    foreach my $name (@names)
    {
        send_all($node, [ $name, "${name}_warm", $url{$name} ]) if $told->{$name}{warm};
    }
    ok(wait_until_sent($node), 'the first ones');
    foreach my $name (@names)
    {
        push @events, map { [ $name, "${name}_$_", $url{$name}, undef, $told->{$name}{size} ] } 1 .. $events;
    }
    my %answered = map { $_->[1] => 0 } @events;
    send_all($node, @events);
    ok(wait_until_sent($node), 'nothing is waited for');
    my %refused;
    foreach my $noted ([ answered => \%answered ], [ refused => \%refused ])
    {
        my ($name, $times) = @$noted;

        open my $in, '<', "$file.$name" or die "could not read \"$file.$name\": $!\n";
        $times->{$_}++ foreach map { (split)[0] } <$in>;
    }
    return wantarray ? (\%answered, \%refused) : \%answered;
}
