# What a destination's columns are not as they were made to be, or hold more than
# they may, is one destination's matter, or else all of them wait: nothing is
# sent otherwise than it was meant to be, and nothing is given up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

$ENV{RSWEBHOOK_CONF} = $ENV{RSWEBHOOK_INJECTED_CONF} if ($ENV{RSWEBHOOK_INJECTED_CONF} // '') ne '';

my $receiver = new_receiver();
my $node = new_node('columns');
my %quick = (min_backoff => '50 ms', max_backoff => '100 ms', breaker_failures => 0);

#
# Columns that are not there
#
add_destination($node, 'signed', $receiver->url('/signed'),
    { %quick, method => 'PUT', auth_type => 'bearer', auth_token => 'sesame',
        signing_secrets => '["' . query($node, 'SELECT rswebhook_generate_secret()') . '"]' });
foreach my $column (qw(id name url method auth_type signing_secrets max_in_flight enabled))
{
    my $waiting = "SELECT count(*) FROM rswebhook.queue";

    # sent while it is there, and read after that
    query($node, qq{
        BEGIN;
        SELECT rswebhook_send('{"type": "track", "userId": "$column"}', 'signed');
        ALTER TABLE rswebhook.destination RENAME $column TO hidden;
        COMMIT});
    ok( wait_for("a word about $column", sub {
            $node->log_contains(qr/ERROR: +column "$column" of relation "rswebhook.destination" does not exist/) }),
        "the log says that $column is not there");
    is(query($node, $waiting), '1', 'what is owed waits');
    is(query($node, q{SELECT state, last_error FROM rswebhook.status WHERE destination = 'signed'}),
        qq{unusable|column "$column" of relation "rswebhook.destination" does not exist}, 'status says why');
    my (undef, undef, $error) = $node->psql('postgres', q{SELECT rswebhook_send('{"type": "track"}', 'signed')});
    like($error, qr/column "$column" of relation "rswebhook.destination" does not exist.*HINT.*TO $column,/s,
        'so does a send');
    query($node, "ALTER TABLE rswebhook.destination RENAME hidden TO $column");
    ok(wait_until_sent($node), 'it goes when the column is back');
    is(query($node, q{SELECT state FROM rswebhook.status WHERE destination = 'signed'}), 'active', 'and status says so');
}
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered'}), '0', 'nothing is given up');
is_deeply(
    [ grep { $_->{method} ne 'PUT' || !$_->{headers}{'webhook-signature'}
            || ($_->{headers}{authorization} // '') ne 'Bearer sesame' } $receiver->requests ],
    [], 'nothing is sent otherwise than it was meant to be');

query($node, q{DELETE FROM rswebhook.destination});

#
# Values without a bound, in rows that came past the checks
#
my $allowed = $ENV{RSWEBHOOK_SANITIZED} ? 65536 : 12288;    # kB
my $session = Session->new($node);
my %huge = (
    types => q{(SELECT array_agg('h' || g) FROM generate_series(1, 2000000) AS g)},
    headers => q{jsonb_build_object('x-a', repeat('a', 60000000))},
    ca_cert => q{repeat('a', 60000000)},
    events => q{array_fill(NULL::text, ARRAY[10000000])},
    name => q{repeat('n', 30000000)});

add_destination($node, 'good', $receiver->url('/good'), \%quick);
$session->query(q{SELECT rswebhook_send('{"type": "track"}', 'good')});
ok(wait_until_sent($node), 'it delivers');
my $sender = $session->query('SELECT pg_backend_pid()');
my $workers = worker_pids($node);
my %before = map { $_ => process_field($_, 'RssAnon') } $sender, split / /, $workers;

# the largest that there can be is of use
add_destination($node, 'largest', $receiver->url('/largest'),
    { %quick, headers => '{"x-a": "' . 'a' x 63485 . '"}' });
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'largest')});
ok(wait_until_sent($node), 'the largest header is sent');
is(length(($receiver->requests_to('/largest'))[0]{headers}{'x-a'}), 63485, 'whole');

query($node, q{
    DO $$
    DECLARE
        constraint_name text;
    BEGIN
        FOR constraint_name IN
            SELECT conname FROM pg_constraint WHERE conrelid = 'rswebhook.destination'::regclass AND contype = 'c' LOOP
            EXECUTE format('ALTER TABLE rswebhook.destination DROP CONSTRAINT %I', constraint_name);
        END LOOP;
    END $$;
    ALTER TABLE rswebhook.destination DROP CONSTRAINT destination_name_key});
foreach my $column (sort keys %huge)
{
    my $columns = $column eq 'name' ? 'name' : "name, $column";
    my $values = $column eq 'name' ? $huge{name} : "'huge $column', $huge{$column}";
    my $name = $column eq 'name' ? '' : "huge $column";
    my $quoted = $column eq 'name' ? $huge{name} : "'$name'";

    query($node, qq{
        SET session_replication_role = replica;
        INSERT INTO rswebhook.destination (url, $columns) SELECT url, $values FROM rswebhook.destination WHERE name = 'good'});
    ok( wait_for("a word about $column", sub {
            $node->log_contains(qr/cannot use destination "$name": Column "$column" is invalid: The value has \d+ bytes/) }),
        "the log says that $column is too large");
    $session->query(q{SELECT rswebhook_send('{"type": "track"}', 'good')});
    ok(wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.queue WHERE destination_id IN
            (SELECT id FROM rswebhook.destination WHERE name = 'good')}, '0'), 'others are served');
    my (undef, undef, $error) = $node->psql('postgres', qq{SELECT rswebhook_send('{"type": "track"}', $quoted)});
    like($error, qr/cannot be used.*Column "$column" is invalid/s, 'nothing is sent to it');
    is(query($node, qq{SELECT state FROM rswebhook.status WHERE last_error LIKE 'Column "$column" is invalid: The value has%'}),
        'unusable', 'status says why');
}
is(worker_pids($node), $workers, 'the workers have gone on');
cmp_ok(process_field($_, 'RssAnon') - $before{$_}, '<', $allowed, 'what is too large is not in memory')
    foreach sort keys %before;
$session->close;

# It can be edited, but not with this
query($node, q{UPDATE rswebhook.destination SET paused = false WHERE name = 'huge headers'});
query($node, q{UPDATE rswebhook.destination SET headers = '{}' WHERE name = 'huge headers'});
send_event($node, { type => 'track', userId => 'edited' }, 'huge headers');
ok(wait_for_query($node, q{
    SELECT count(*) FROM rswebhook.queue WHERE destination_id IN
        (SELECT id FROM rswebhook.destination WHERE name = 'huge headers')}, '0'), 'it is used when it has been corrected');
query($node, q{DELETE FROM rswebhook.destination WHERE name NOT IN ('good', 'largest'); DELETE FROM rswebhook.queue});

#
# A row that cannot be read
#
SKIP:
{
    skip 'needs a build with -DRSWEBHOOK_INJECTION', 1 unless ($ENV{RSWEBHOOK_INJECTED_CONF} // '') ne '';

    add_destination($node, 'bad', $receiver->url('/bad'), { %quick, types => '{identify}' });
    my $id = query($node, q{SELECT id FROM rswebhook.destination WHERE name = 'bad'});
    send_event($node, { type => 'track', userId => 'bad' }, 'bad');
    ok(wait_until_sent($node), 'it delivers');
    foreach my $action (qw(memory error))
    {
        my $log = -s $node->logfile;

        query($node, q{SELECT rswebhook_pause('bad')});
        send_event($node, { type => 'track', userId => 'bad', n => $action }, 'bad');
        inject($node, "destination $action $id");
        query($node, q{SELECT rswebhook_resume('bad')});
        ok( wait_for('a word about it', sub {
                $node->log_contains(qr/cannot use destination "bad": The row cannot be read/, $log) }),
            "$action: the log says that the row cannot be read");
        query($node, q{SELECT rswebhook_send('{"type": "track"}')});
        ok(wait_for_query($node, q{SELECT count(*), min(destination_id) FROM rswebhook.queue}, "1|$id"),
            'others are served, it waits, and its filter holds');
        my (undef, undef, $error) = $node->psql('postgres', q{SELECT rswebhook_send('{"type": "track"}', 'bad')});
        like($error, qr/"bad" cannot be used.*The row cannot be read/s, 'nothing is sent to it');
        like(query($node, q{SELECT state, last_error FROM rswebhook.status WHERE destination = 'bad'}),
            qr/^unusable\|The row cannot be read/, 'status says why');
        is(query($node, q{
                BEGIN;
                INSERT INTO rswebhook.destination (name, url, paused) VALUES ('mine', 'http://127.0.0.1:9/', true);
                SELECT rswebhook_send('{"type": "track"}', 'mine') > 0;
                ROLLBACK}), 't', 'a transaction goes on with it');
        inject($node);
        ok(wait_until_sent($node), 'it goes when the row can be read');
    }
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered'}), '0', 'nothing is given up');
    is(worker_pids($node), $workers, 'by the same workers');
}

done_testing();
