# What somebody should be told of is one row of rswebhook.alert, one NOTIFY, one line of the log and one event
# for those destinations that ask for such: of each kind, and of what comes again within the interval once more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use JSON::PP;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('alerts', conf => "rswebhook.alert_failures = 3\nrswebhook.alert_interval = '1h'\nrswebhook.secret_sources = 'file'\n");
my %fast = (min_backoff => '1 ms', max_backoff => '20 ms', retry_window => '1 h', breaker_failures => 0);
my $listener = $node->background_psql('postgres');

$listener->query_safe('LISTEN rswebhook');
add_destination($node, 'pager', $receiver->url('/pager'), { types => '{rswebhook.alert}' });
add_destination($node, 'deaf', $receiver->url('/deaf'), { types => '{rswebhook.alert, track}', excluded_events => '{rswebhook *}' });
add_destination($node, 'plain', $receiver->url('/plain'));

# The rows of a kind
sub rows
{
    my ($kind, $what) = @_;

    $what //= q{concat_ws(' ', destination, count, open)};
    return query($node, "SELECT string_agg($what, ', ' ORDER BY id) FROM rswebhook.alert WHERE kind = '$kind'");
}

# What is there, within a moment
sub rows_become
{
    my ($kind, $expected, $name) = @_;
    my $got = '';

    return ok(wait_for("\"$expected\"", sub { ($got = rows($kind)) eq $expected }, undef, sub { $got }), $name) || diag("got \"$got\"");
}

#
# A destination that fails, is backed off, and recovers
#
$receiver->switch('down', '/status/503');
add_destination($node, 'down', $receiver->url('/switch/down'), { %fast, breaker_failures => 4 });
send_event($node, { type => 'track', event => 'Tried', userId => "u$_" }, 'down') foreach 1 .. 6;
rows_become('destination failing', 'down 1 t', 'failing is one row');
rows_become('destination backed off', 'down 1 t', 'and so is backed off');
like(rows('destination failing', 'message'), qr/^3 attempts in a row have failed, the last one: HTTP status 503$/, 'which says why');
$receiver->switch('down', '/ok');
rows_become('destination recovered', 'down 1 f', 'as is recovered');
ok(wait_until_sent($node), 'all is sent');
is(query($node, 'SELECT count(*) FROM rswebhook.alert WHERE open'), '0', 'and nothing lasts');

#
# Events that are given up
#
add_destination($node, 'refuses', $receiver->url('/status/404'));
send_event($node, { type => 'track', event => 'Tried' }, 'refuses');
rows_become('event aborted', 'refuses 1 f', 'one that is aborted is a row');
send_event($node, { type => 'track', event => 'Tried' }, 'refuses');
rows_become('event aborted', 'refuses 2 f', 'in which the next ones count');
add_destination($node, 'late', $receiver->url('/late'), { paused => 'on' });
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'late', expires_after => '1 ms')});
query($node, q{SELECT pg_sleep(0.01); SELECT rswebhook_resume('late')});
rows_become('event expired', 'late 1 f', 'so is one that has expired');
query($node, q{
    CREATE TABLE shop (id integer, dest text);
    CREATE TRIGGER send AFTER INSERT ON shop FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', '', 'destination_column=dest');
    INSERT INTO shop VALUES (1, 'nobody'), (2, 'nobody'), (3, 'nobody')});
rows_become('event refused', '3 f', 'and what senders could not queue');

#
# What is lacking
#
my $secrets = temp_dir('secrets');
my $secret = "$secrets/token";
add_destination($node, 'secret', $receiver->url('/secret'), { auth_type => 'bearer', auth_token => qq({"file": "$secret"}) });
send_event($node, { type => 'track' }, 'secret');
rows_become('secret missing', 'secret 1 t', 'a secret that is not there');
open my $out, '>', $secret or die "could not write: $!\n";
print $out "s3cret\n";
close $out;
$node->reload;
rows_become('secret missing', 'secret 1 f', 'and that is');

is(query($node, q{SELECT message LIKE '%s3cret%' FROM rswebhook.alert WHERE kind = 'secret missing'}), 'f', 'which no alert shows');

#
# What waits for long
#
query($node, q{SELECT rswebhook_pause('plain')});
my $id = send_event($node, { type => 'track' }, 'plain');
query($node, q{UPDATE rswebhook.queue SET queued_at = queued_at - interval '2 h'});
$node->append_conf('postgresql.conf', "rswebhook.alert_interval = '1s'\n");
$node->reload;
rows_become('queue old', 'plain 1 t', 'an event that is owed for long');
like(rows('queue old', 'message'), qr/^event $id has been owed for 02:00:\d\d$/, 'and which');
query($node, q{SELECT rswebhook_resume('plain')});
rows_become('queue old', 'plain 1 f', 'until it is sent');

#
# Each is told once: what came again, once more
#
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.alert WHERE told < count', '0'), 'all is told');
ok(wait_until_sent($node), 'and sent');
my @expected = sort split /\n/, query($node, q{
    SELECT kind || ' ' || coalesce(destination, '-') FROM rswebhook.alert,
    generate_series(1, CASE WHEN count > 1 AND kind <> 'event refused' THEN 2 ELSE 1 END)});
my @notified = sort map { my $a = decode_json($_); $a->{kind} . ' ' . ($a->{destination} // '-') } notified();
is(join("\n", @notified), join("\n", @expected), 'by NOTIFY');
my @events = map { decode_json($_->{body}) } $receiver->requests_to('/pager');
is(join("\n", sort map { ($_->{event} =~ s/^rswebhook //r) . ' ' . ($_->{properties}{destination} // '-') } @events),
    join("\n", @expected), 'as events');
is(join(' ', sort map { $_->{type} } @events), join(' ', ('track') x @events), 'of type track');
is(join("\n", sort map { /^(.*) "(.*)"$/ ? "$1 $2" : "$_ -" } logged($node) =~ /LOG:  rswebhook alert: ([a-z ]+(?: "[^"]*")?):/g),
    join("\n", @expected), 'and in the log');
is(scalar($receiver->requests_to('/deaf')), 0, 'filters hold for them');
is(scalar(grep { $_->{body} =~ /rswebhook / } $receiver->requests_to('/plain')), 0, 'who does not ask gets none');
query($node, q{UPDATE rswebhook.destination SET enabled = false WHERE name = 'refuses'});
is(query($node, q{SELECT rswebhook_send('{"type": "rswebhook.alert"}') > 0}), 't', 'an event of that type is for others only');
ok(wait_until_sent($node), 'it is sent');
is(scalar($receiver->requests_to('/pager')), scalar(@events), 'not as an alert');

#
# A destination for alerts that fails is told of, but not by an event
#
add_destination($node, 'broken', $receiver->url('/status/500'), { %fast, types => '{rswebhook.alert}', retry_window => '0', min_attempts => 1 });
query($node, q{SELECT rswebhook_send('{}', 'broken') FROM generate_series(1, 3)});
rows_become('destination failing', 'down 1 f, broken 1 t', 'its own failures are rows');
ok(wait_until_sent($node), 'all is over');
is(query($node, q{SELECT count(*) FROM rswebhook.event WHERE event #>> '{properties,destination}' = 'broken'}), '0', 'and nothing goes in a circle');
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'broken'});
rows_become('destination failing', 'down 1 f, broken 1 f', 'and nothing lasts of what is gone');

#
# A receiver that flaps
#
$node->append_conf('postgresql.conf', "rswebhook.alert_interval = '1h'\n");
$node->reload;
add_destination($node, 'flaps', $receiver->url('/first/3/503/x'), { %fast });
foreach my $n (1 .. 5)
{
    query($node, qq{UPDATE rswebhook.destination SET url = '@{[ $receiver->url("/first/3/503/x$n") ]}' WHERE name = 'flaps'});
    send_event($node, { type => 'track' }, 'flaps');
    ok(wait_until_sent($node), "flaps $n");
}
is(rows('destination failing', q{concat_ws(' ', destination, count, open)}), 'down 1 f, broken 1 f, flaps 5 f', 'one row counts them');
like(rows('destination recovered'), qr/flaps 5 f$/, 'likewise of the others');
is(told_of('flaps'), 2, 'and it was told of once');
$node->append_conf('postgresql.conf', "rswebhook.alert_interval = '1s'\n");
$node->reload;
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.alert WHERE told < count', '0'), 'until the interval is over');
is(told_of('flaps'), 4, 'and then once more');

#
# Disabled
#
add_destination($node, 'gone', $receiver->url('/status/410'), { disable_after => '30 days' });
send_event($node, { type => 'track' }, 'gone');
rows_become('destination disabled', 'gone 1 f', 'one that has gone is disabled');
is(query($node, q{SELECT enabled FROM rswebhook.destination WHERE name = 'gone'}), 'f', 'by its row');
add_destination($node, 'dead', $receiver->url('/status/500'), { %fast, disable_after => '1 s' });
send_event($node, { type => 'track' }, 'dead');
rows_become('destination disabled', 'gone 1 f, dead 1 f', 'so is one that has failed for long');
is(query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'dead'}), '1', 'whose events are kept');
add_destination($node, 'patient', $receiver->url('/status/410'));
send_event($node, { type => 'track' }, 'patient');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE status = 410}, '2'), 'one that does not ask for that');
is(query($node, q{SELECT enabled FROM rswebhook.destination WHERE name = 'patient'}), 't', 'is not');

is(errors_logged($node), 0, 'no error');
done_testing();

# What the listener has heard in all.
sub notified
{
    our @heard;

    push @heard, ($listener->query('SELECT 1') . "\n" . ($listener->{stderr} // '')) =~ /Asynchronous notification "rswebhook" with payload "(.*)" received/g;
    return @heard;
}

sub told_of
{
    my ($destination) = @_;

    return scalar(grep { /"destination": "$destination"/ } notified());
}
