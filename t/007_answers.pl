# What each kind of answer means, and what is written down about it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('answers', conf => "rswebhook.response_body_limit = 1000\n");
my $nobody = refusing_port();

# Tried twice within a moment, then given up.  Only where no answer comes is a
# time-out short: a busy receiver may take its time.
my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_after_factor => 0,
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    timeout => '1 min');
my %brief = (%hasty, timeout => '600 ms');

# path => what happens to an event
my @cases = (
    [ '/status/200', 'delivered 200 1' ],
    [ '/status/201', 'delivered 201 1' ],
    [ '/status/204', 'delivered 204 1' ],
    [ '/status/298', 'delivered 298 1' ],
    [ '/hints/ok', 'delivered 200 1' ],
    [ '/last/ok', 'delivered 200 1' ],
    [ '/gzip/100000', 'delivered 200 1' ],
    [ '/body/100000', 'delivered 200 1' ],
    [ '/endless', 'delivered 200 1' ],
    [ '/status/300', 'aborted 300 1' ],
    [ '/status/304', 'aborted 304 1' ],
    [ '/redirect/302/ok', 'aborted 302 1' ],
    [ '/redirect/307/ok', 'aborted 307 1' ],
    [ '/status/400', 'aborted 400 1' ],
    [ '/status/401', 'aborted 401 1' ],
    [ '/status/404', 'aborted 404 1' ],
    [ '/status/410', 'aborted 410 1' ],
    [ '/status/422', 'aborted 422 1' ],
    [ '/status/499', 'aborted 499 1' ],
    [ '/status/408', 'retry 408 1, aborted 408 2' ],
    [ '/status/429', 'retry 429 1, aborted 429 2' ],
    [ '/status/500', 'retry 500 1, aborted 500 2' ],
    [ '/status/502', 'retry 502 1, aborted 502 2' ],
    [ '/status/503', 'retry 503 1, aborted 503 2' ],
    [ '/status/599', 'retry 599 1, aborted 599 2' ],
    [ '/first/1/500/ok', 'retry 500 1, delivered 200 2' ],
    [ '/first/1/hang/ok', 'retry 1, delivered 200 2' ],
    [ '/close', 'retry 1, aborted 2' ],
    [ '/reset', 'retry 1, aborted 2' ],
    [ '/garbage', 'retry 1, aborted 2' ],
    [ '/hang', 'retry 1, aborted 2' ]);

# A head that says 200 is not yet an answer: the rest may never come.
my @cut = ('/head', '/short', '/cut-chunk', '/drip/100');

my %id_of;
foreach my $path ((map { $_->[0] } @cases), @cut)
{
    add_destination($node, $path, $receiver->url($path),
          $path eq '/hang' || $path eq '/drip/100' ? \%brief
        : $path eq '/first/1/hang/ok' ? { %hasty, timeout => '5 s' }
        :                               \%hasty);
    $id_of{$path} = send_to($path);
}

# On a connection of its own: libcurl itself tries again if one that it kept
# alive turns out to be closed.
my @lost = map { [ $_, new_receiver() ] } 'reset', 'hidden';
foreach my $lost (@lost)
{
    add_destination($node, $lost->[0], $lost->[1]->url("/first/1/$lost->[0]/ok"), \%hasty);
    $id_of{ $lost->[0] } = send_to($lost->[0]);
}

add_destination($node, 'refused', "http://127.0.0.1:$nobody/", \%hasty);
my $refused = send_to('refused');
add_destination($node, 'follows', $receiver->url('/redirect/307/ok/then'),
    { %hasty, max_redirects => 2 });
my $followed = send_to('follows');
add_destination($node, 'nowhere', 'http://no-such-host.invalid/', \%hasty);
my $unresolved = send_to('nowhere');

ok(wait_until_sent($node), 'nothing is owed any more');

is(outcomes($node, $id_of{ $_->[0] }), $_->[1], $_->[0]) foreach @cases;
is(outcomes($node, $id_of{ $_->[0] }), 'retry 1, delivered 200 2', "$_->[0], then taken") foreach @lost;
is(outcomes($node, $refused), 'retry 1, aborted 2', 'connection refused');
is(outcomes($node, $unresolved), 'retry 1, aborted 2', 'a name that does not exist');
is(outcomes($node, $followed), 'delivered 200 1', 'a redirect that may be followed');

foreach my $path (@cut)
{
    my $rows = query($node,
        "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM rswebhook.delivery WHERE event_id = $id_of{$path}");
    is($rows, 'retry aborted', "$path: an answer that never ends is none");
}

is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery
        WHERE outcome <> 'delivered' AND error IS NULL AND status IS NULL}),
    '0', 'whatever has no status has an error');
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery
        WHERE (retry_at IS NOT NULL) <> (outcome = 'retry')}),
    '0', 'retries and only they say when');
is(query($node, "SELECT response_body FROM rswebhook.delivery WHERE event_id = $id_of{'/status/404'}"),
    'no', 'the body of an answer is kept');
is(query($node, "SELECT length(response_body) FROM rswebhook.delivery WHERE event_id = $id_of{$_}"),
    '1000', "$_: but no more of it than the setting allows")
  foreach '/body/100000', '/endless';
# all of that answer would take a day
cmp_ok(query($node, "SELECT max(duration) < interval '30 s' FROM rswebhook.delivery WHERE event_id = $id_of{'/drip/100'}"),
    'eq', 't', 'the timeout covers the whole attempt');

# Retry-After is waited for
add_destination($node, 'patient', $receiver->url('/first/1/503+/patient'),
    { min_backoff => '10 ms', max_backoff => '10 s', breaker_failures => 0 });
my $patient = send_to('patient');
ok(wait_until_sent($node), 'nothing is owed any more');
is(outcomes($node, $patient), 'retry 503 1, delivered 200 2', 'an event is tried again');
my ($first, $second) = $receiver->requests_to('/first/1/503+');
cmp_ok($second->{t} - $first->{t}, '>=', 0.9, 'not before the Retry-After is over');

# A status can be given another meaning
add_destination($node, 'own_rules', $receiver->url('/first/1/404/ok'),
    { %hasty, status_outcomes => '{"404": "retry"}' });
my $own = send_to('own_rules');
ok(wait_until_sent($node), 'nothing is owed any more');
is(outcomes($node, $own), 'retry 404 1, delivered 200 2', 'a 404 that may be tried again');

done_testing();

sub send_to
{
    my ($destination) = @_;
    our $serial;
    my $id = 'answer-' . ++$serial;

    return send_event($node, { type => 'track', userId => $id, messageId => $id }, $destination);
}
