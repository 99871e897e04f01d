# Bytes that come when nobody has asked, or an end, on a connection that is kept:
# they are the answer to nothing, and the connection is over, at once.
#
# HAProxy writes a 408 or what it is told to on a connection that was idle for a
# while; whoever takes that for the answer to what he sends next loses it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Ledgers;
use NodeReceiver;
use RswebhookTest;
use Sockets;
use Test::More;

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 3,
    breaker_failures => 0,
    timeout => '30 s');
my $ok = escaped("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

# What comes some time after the answer: name => words of scripts/receiver
my %idle = (
    map({
            my $last = escaped("HTTP/1.1 $_ Whatever\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            my $more = escaped("HTTP/1.1 $_ Whatever\r\nContent-Length: 2\r\n\r\nok");
            ("$_, close" => "then/300/$last/then-close/300", "$_" => "then/300/$more")
        } 200, 400, 408, 410, 503),
    '200, shut' => "then/300/$ok/then-shut/300",
    '200, reset' => "then/300/$ok/then-reset/320",
    'two answers' => "then/300/$ok$ok",
    'half an answer' => 'then/300/' . escaped("HTTP/1.1 200 OK\r\nConte"),
    'a byte' => 'then/300/H',
    'an empty line' => 'then/300/' . escaped("\r\n"),
    'close' => 'then-close/300',
    'shut' => 'then-shut/300',
    'reset' => 'then-reset/300');

# What comes with the answer or right after it, before there is another request.
# Where the next one may cross it, it is a 200: nobody could tell.  An answer that
# fills a buffer of libcurl's to the last byte hides what came with it.
my $body = 16384 - length("HTTP/1.1 200 Whatever\r\nContent-Type: text/plain\r\nContent-Length: 12345\r\n\r\n");
my $gone = escaped("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
my $half = escaped("HTTP/1.1 410 Gone\r\nConte");
my %prompt = (
    '200 with it' => "then/0/$ok",
    '410 with it' => "then/0/$gone",
    'two with it' => "then/0/$ok$gone",
    'half with it' => "then/0/$half",
    'a byte with it' => 'then/0/H',
    '410 behind 16 kB' => "then/0/$gone/body/$body",
    '200 behind 16 kB, close' => "then/0/$ok/then-close/0.01/body/$body",
    'half behind 16 kB' => "then/0/$half/body/$body",
    '200 right after' => "then/0.01/$ok",
    '200 soon after' => "then/1/$ok",
    '200 a moment after' => "then/5/$ok",
    'close right after' => 'then-close/0.01',
    'close soon after' => 'then-close/1');

my $node = new_node('unasked');
my $pids = worker_pids($node);
my @names = (sort(keys %idle), sort(keys %prompt));
my @receivers = map { new_receiver() } @names;
my @judged = @receivers;
my $missing = tls_is_missing();

{
    my %at;
    @at{@names} = map { [ $_, $_->port ] } @receivers;
    test_idle('http', map { $_ => $at{$_} } keys %idle);
    test_prompt('http', map { $_ => $at{$_} } keys %prompt);
}

test_ahead();

SKIP:
{
    skip $missing, 1 if $missing;

    my $certificates = Certificates->new(temp_dir('certificates'));
    my $relay = NodeReceiver->new(temp_dir('node'), $certificates, relay => \@receivers);
    my %at;

    $hasty{ca_cert} = $certificates->text('ca.pem');
    @at{@names} = map { [ $receivers[$_], $relay->relay_port($_) ] } 0 .. $#names;
    test_idle('https', map { $_ => $at{$_} } keys %idle);
    test_prompt('https', map { $_ => $at{$_} } keys %prompt);

    # what HTTP/2 says in the second after an answer may belong to that
    %idle = map { $_ => "then/50/$_" } qw(goaway socket failure);
    $idle{silence} = 'then/1300/silence';
    %at = map { my $one = NodeReceiver->new(temp_dir('node'), $certificates); $_ => [ $one, $one->port ] } keys %idle;
    push @judged, map { $_->[0] } values %at;
    test_idle('h2', %at);
}
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

sub tls_is_missing
{
    return 'libcurl before 7.77 takes no CA of its own' unless libcurl_at_least(7, 77);
    return 'no openssl' unless Certificates::program();
    return NodeReceiver::missing();
}

# Twice: with the next event sent at once, and sent when the connection is gone;
# to destinations of their own, since what comes right after an answer has
# consequences for more than its connection.
sub test_idle
{
    my ($protocol, %at) = @_;
    my $scheme = $protocol eq 'http' ? 'http' : 'https';
    my %url = map { $_ => "$scheme://127.0.0.1:$at{$_}[1]" } keys %at;
    my $send = sub {
        my ($n, $word_of) = @_;
        send_all($node, map { [ "$protocol, " . int($n) . ": $_", name_of($protocol, $_, $n), "$url{$_}/" . ($word_of->{$_} // 'ok') ] } keys %at);
    };

    foreach my $round (1, 2)
    {
        add_destination($node, "$protocol, $round: $_", $url{$_}, \%hasty) foreach keys %at;
        my %before = map { $_ => scalar(my @seen = $at{$_}[0]->unasked) } keys %at;

        # those of the round before are kept, and nothing has happened to them
        my %kept = can_see_sockets() ? map { $_ => scalar(my @open = sockets_to($pids, $at{$_}[1])) } keys %at : ();
        $send->("$round.1", \%idle);
        ok(wait_for('what comes unasked',
                sub { !grep { $at{$_}[0]->unasked <= $before{$_} } keys %at }),
            "$protocol, $round: it comes");
        if ($round == 2 && can_see_sockets())
        {
            my $more = sub { grep { sockets_to($pids, $at{$_}[1]) > $kept{$_} } sort keys %at };
            # not by the next request, nor when they are old, after ten minutes
            wait_for('the sockets to go', sub { !$more->() }, undef, sub { scalar(my @left = $more->()) });
            is(join(', ', map { my $name = $_; map { "$name: $_" } sockets_to($pids, $at{$_}[1]) } $more->()), '',
                "$protocol, $round: the connections are ended at once");
        }
        $send->("$round.2", {});
        ok(wait_until_sent($node), "$protocol, $round: nothing is owed any more");
    }
    judge($protocol, $protocol);
    return;
}

# Events of one user, so that one follows the other
sub test_prompt
{
    my ($protocol, %at) = @_;

    foreach my $name (sort keys %at)
    {
        my $url = "$protocol://127.0.0.1:$at{$name}[1]/$prompt{$name}";

        add_destination($node, "$protocol, in one turn: $name", $url, \%hasty);
        send_all($node,
            map { [ "$protocol, in one turn: $name", name_of("$protocol-turn", $name, $_), $url, 'u' ] } 1 .. 20);
    }
    ok(wait_until_sent($node), "$protocol, in one turn: nothing is owed any more");
    judge("$protocol-turn", "$protocol, in one turn");
    return;
}

# A receiver that is an answer ahead of what it has read gets to read it: the
# connection, on which one more answer shows that, is not reset under it.
sub test_ahead
{
    my $receiver = new_receiver();
    my $url = 'http://127.0.0.1:' . $receiver->port;

    push @judged, $receiver;
    add_destination($node, 'ahead', $url, \%hasty);
    send_all($node, [ 'ahead', 'ahead_1', "$url/ahead/3/200/ok", 'u' ], [ 'ahead', 'ahead_2', "$url/ok", 'u' ]);
    ok(wait_until_sent($node), 'ahead: nothing is owed any more');
    judge('ahead', 'ahead');
    return;
}

# An id that is the same on the wire
sub name_of
{
    return join '_', map { s/\W+/-/gr } @_;
}

sub judge
{
    my ($protocol, $what) = @_;
    my %recorded = attempts($node);
    my @first = map { "$_: $recorded{$_}" } grep { /^\Q$protocol\E_/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded;

    # what crossed the bytes may still be on its way, and may be sent once more
    my $crossed = qr/-after_\d+: taken \d+ times/;
    my @wrong;
    wait_for('the ledgers to agree',
        sub { !(@wrong = grep { /^\Q$protocol\E_/ && !/$crossed/ } disagreements($node, @judged)) });
    is(join("\n", @wrong), '', "$what: what is recorded is what was received");
    is(join("\n", @first), '', "$what: each event by its first attempt");
    return;
}
