# What a clock that was wrong has left behind: a message that was sent by then is sent once in its
# time, and not in the time by which the clock was wrong; nor is it sent twice in its time where that
# can be told. And what nobody has told of, as the queue's trigger was disabled, is found in ten minutes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

use constant YEAR => 8760 * 3600;

plan(skip_all => 'it takes Linux to set the clock of a server alone') if $^O ne 'linux';
plan(skip_all => 'a sanitizer wants to be loaded first') if $ENV{RSWEBHOOK_SANITIZED};

my $receiver = new_receiver();
my $dir = temp_dir('wrong');
my $node = new_node('wrong', start => 0);
my $passed = 0;

system('cc', '-shared', '-fPIC', qq{-DFILE="$dir/clock"}, '-o', "$dir/wall.so",
    source_dir() . '/t/lib/wall.c', '-ldl') == 0
  or plan(skip_all => 'it takes a compiler');
set_clock(0);
{
    local $ENV{LD_PRELOAD} = "$dir/wall.so";
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');
add_destination($node, 'plain', $receiver->url('/plain'));
add_destination($node, 'once', $receiver->url('/once'), { deduplicate => '1 h' });
query($node, q{
    CREATE TABLE outbox (id bigserial, event jsonb);
    CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=once', 'keep=false')});

my %ways = (
    'who sends' => [ 'plain', q{SELECT rswebhook_send('{"messageId": "sent"}', 'plain', deduplicate => '1 h')} ],
    'the destination' => [ 'once', q{SELECT rswebhook_send('{"messageId": "destination"}', 'once')} ],
    'an outbox' => [ 'once', q{INSERT INTO outbox (event) VALUES ('{"messageId": "outbox"}')} ]);
foreach my $who (sort keys %ways)
{
    my ($name, $sql) = @{ $ways{$who} };
    my $id = $sql =~ /"messageId": "(\w+)"/ ? $1 : die;
    my $expected = 0;
    my $sends = sub {
        my ($many, $what) = @_;

        query($node, $sql);
        ok(wait_until_sent($node), "$who: $what");
        is(scalar(grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests_to("/$name")), $expected += $many,
            $many ? 'is sent' : 'is not sent again');
    };

    # noted by a clock that was ahead
    set_clock(YEAR);
    $sends->(1, 'a first one, while the clock is a year ahead');
    set_clock(0);
    $sends->(0, 'one within its time, when the clock is right');
    goes_by(1800);
    $sends->(0, 'one after half of it');
    goes_by(2000);
    $sends->(1, 'one after its time');
    $sends->(0, 'which is noted');

    # noted by the right one, and one is sent while it is ahead, or back
    foreach my $wrong (YEAR, -YEAR)
    {
        set_clock($wrong);
        $sends->(0, 'one of the right time, by a wrong clock');
        set_clock(0);
        $sends->(0, 'and by the right one again');
    }
    goes_by(4000);
    $sends->(1, 'one after its time');

    # noted by a clock of which nothing is known
    query($node, q{UPDATE rswebhook.message SET noted_at = noted_at + interval '30 years', expires_at = expires_at + interval '30 years'});
    $sends->(1, 'one of a time that has never been');
    $sends->(0, 'and not after that');
    goes_by(4000);
    $sends->(1, 'one after its time');
}
is(query($node, 'SELECT count(*) FROM outbox'), '0', 'nothing is left in the outbox');

# The workers do not forget by a clock that is ahead for a moment
my $known = query($node, 'SELECT count(*) FROM rswebhook.message');
query($node, q{INSERT INTO rswebhook.message SELECT 1, gen_random_uuid(), 1, now() - interval '9 years', now() - interval '8 years'});
set_clock(YEAR);
query($node, 'SELECT pg_reload_conf()');
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.message', $known), 'what is old is forgotten');
pass_time(1);
is(query($node, 'SELECT count(*) FROM rswebhook.message'), $known, 'and nothing else');
set_clock(0);

# A row that is deleted while the trigger is disabled
query($node, q{UPDATE rswebhook.destination SET url = '} . $receiver->url('/') . q{', min_backoff = '1 day', max_backoff = '7 days', breaker_failures = 0});
my @failed = map { send_event($node, { userId => $_, appendPath => 'status/500' }, 'plain') } 'a', 'b';
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE retry_at > now()}, '2'), 'two wait for their retries');
query($node, q{SELECT setval('rswebhook.event_id_seq', nextval('rswebhook.event_id_seq') + 20000)});
send_event($node, { userId => 'c', appendPath => 'ok' }, 'plain');
query($node, "ALTER TABLE rswebhook.queue DISABLE TRIGGER USER; DELETE FROM rswebhook.queue WHERE event_id = $failed[0]");
my @next = map { send_event($node, { userId => $_, appendPath => 'ok' }, 'plain') } 'a', 'b';
my $last = send_event($node, { userId => 'd', appendPath => 'ok' }, 'plain');
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $last", '1'), 'others go');
is(query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id IN ($next[0], $next[1])"), '2', 'the next ones of these wait');

# Rows that somebody has made of events whose ids no send gives, to a destination that nothing was sent to as well
add_destination($node, 'never', $receiver->url('/never'));
my $of_no_event = q{INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
    SELECT d.id, 0, n, now() FROM rswebhook.destination d, unnest('{-9223372036854775808,-9223372036854775807,-3,0}'::bigint[]) n
    WHERE d.name IN ('plain', 'never')};
my $of_no_event_given_up = q{SELECT count(*) FROM rswebhook.delivery WHERE event_id <= 0 AND outcome = 'aborted'};
query($node, $of_no_event);
goes_by(650);
send_event($node, { userId => 'd', appendPath => 'ok' }, 'plain');
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $next[0]", '1'), 'in ten minutes it is found that one has gone');
is(query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id = $next[1]"), '1', 'and the other has not');
ok(wait_for_query($node, $of_no_event_given_up, '8'), 'rows of no event are given up');

# Likewise where they are read by a statement, which looks at as many ids as it may
query($node, 'ALTER TABLE rswebhook.queue DROP CONSTRAINT queue_pkey');
query($node, $of_no_event);
goes_by(650);
send_event($node, { userId => 'd', appendPath => 'ok' }, 'plain');
ok(wait_for_query($node, $of_no_event_given_up, '16'), 'also without the index');

$node->stop;
done_testing();

# ---------------------------------------------------------------------

# So many seconds ahead of what is right, for the server alone
sub set_clock
{
    my ($ahead) = @_;

    open my $out, -e "$dir/clock" ? '+<' : '>', "$dir/clock" or die "could not set the clock: $!\n";
    syswrite($out, pack('q2', $ahead, $passed)) == 16 or die "could not set the clock: $!\n";
    close $out or die "could not set the clock: $!\n";
    return;
}

# That so much time has passed
sub goes_by
{
    my ($seconds) = @_;

    $passed += $seconds;
    set_clock(0);
    return;
}
