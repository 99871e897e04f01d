# What somebody does to the worker's tables counts, although it reads and writes
# them without statements as long as nobody does: triggers fire, rules and
# constraints hold, columns get their defaults, rows may be anywhere, and
# partitions are where the table says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('tables',
    conf => "wal_level = logical\nmax_replication_slots = 4\nrswebhook.response_body_limit = '1MB'\n");
my %quick = (min_backoff => '50 ms', max_backoff => '100 ms', breaker_failures => 0);

add_destination($node, 'sink', $receiver->url('/ok'), \%quick);
query($node, q{
    CREATE TABLE seen (what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.seen VALUES (TG_ARGV[0]); RETURN NULL; END $$;});
ok(delivered(), 'it delivers');

# As long as nobody does anything: the queue's rows are sent and deleted without
# being looked up
add_destination($node, 'many', $receiver->url('/many'), \%quick);
my ($deleted_before, $scans_before) = statistics(1);
many('many', 1000);
my ($deleted, $scans) = statistics($deleted_before + 1000);
cmp_ok($scans - $scans_before, '<', 700, 'rows that are where they were read are not looked up');

#
# Triggers and rules
#
my $delivery = 'rswebhook.' . query($node,
    'SELECT relname FROM rswebhook.delivery AS d JOIN pg_class AS c ON c.oid = d.tableoid LIMIT 1');
my @watchers = (
    [ 'rows of delivery', 'rswebhook.delivery', 'AFTER INSERT', 'FOR EACH ROW' ],
    [ 'statements on delivery', 'rswebhook.delivery', 'AFTER INSERT', 'FOR EACH STATEMENT' ],
    [ 'rows of a partition of it', $delivery, 'AFTER INSERT', 'FOR EACH ROW' ],
    [ 'rows of the queue', 'rswebhook.queue', 'AFTER DELETE', 'FOR EACH ROW' ],
    [ 'statements on the queue', 'rswebhook.queue', 'BEFORE DELETE', 'FOR EACH STATEMENT' ]);
foreach my $watcher (@watchers)
{
    my ($what, $table, $when, $each) = @$watcher;

    query($node, "CREATE TRIGGER mine $when ON $table $each EXECUTE FUNCTION note('$what')");
    ok(delivered(), "a trigger for $what");
    is(seen(), $what, 'fires');
    query($node, "DROP TRIGGER mine ON $table");
}
query($node, q{CREATE RULE mine AS ON DELETE TO rswebhook.queue DO ALSO INSERT INTO public.seen VALUES ('rule')});
ok(delivered(), 'a rule on the queue');
is(seen(), 'rule', 'is followed');
query($node, 'DROP RULE mine ON rswebhook.queue');
query($node, 'CREATE RULE mine AS ON DELETE TO rswebhook.queue DO INSTEAD NOTHING');
my $ruled_out = send_event($node, { type => 'track', userId => 'ruled' }, 'sink');
ok(wait_for('the error', sub { times_logged($node, qr/rows of "rswebhook.queue" were not changed/) }), 'one instead is an error');
ok(times_logged($node, qr/Look for triggers and rules on rswebhook.queue./), 'with a hint');
query($node, 'DROP RULE mine ON rswebhook.queue');
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $ruled_out", 'delivered'),
    'what it was in the way of is recorded without it');

# What a trigger keeps is not sent again and again: RETURN NEW does that in a
# BEFORE DELETE, where it is null
add_destination($node, 'kept', $receiver->url('/ok/kept'), \%quick);
add_destination($node, 'again', $receiver->url('/first/1/500/again'), \%quick);
query($node, q{
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE TG_OP WHEN ''DELETE'' THEN NEW END; END';
    CREATE TRIGGER mine BEFORE UPDATE OR DELETE ON rswebhook.queue FOR EACH ROW
        WHEN (OLD.destination_id IN (rswebhook.destination_id('kept'), rswebhook.destination_id('again')))
        EXECUTE FUNCTION keep()});
my $serial = 0;
my $from = -s $node->logfile;
my $kept = send_event($node, { type => 'track', userId => 'kept' }, 'kept');
my $again = send_event($node, { type => 'track', userId => 'kept' }, 'again');
my $attempts = sub { join ' ', map { scalar $receiver->requests_to($_) } '/ok/kept', '/first/1/500/again' };
my $says_so = sub { times_logged($node, qr/rows of "rswebhook.queue" were not changed/, $from) };
ok(wait_for('the requests', sub { $attempts->() !~ /\b0/ }), 'what a trigger will keep is sent');
ok(wait_for('the error, or too much', sub { $says_so->() || $attempts->() ne '1 1' }), 'and that it keeps it');
ok($says_so->(), 'is an error');
pass_time(1);
ok(delivered(), 'others are delivered');
is($attempts->(), '1 1', 'it is not sent again');
query($node, 'DROP TRIGGER mine ON rswebhook.queue');
ok(wait_until_sent($node), 'without it, both are recorded');
is(query($node, "SELECT string_agg(outcome, ' ' ORDER BY event_id, attempt) FROM rswebhook.delivery WHERE event_id IN ($kept, $again)"),
    'delivered retry delivered', 'once each');

# A row that a trigger changes, and leaves as it was all the same, or takes back
# what was written: it is not sent again and again either. A trigger
# may write other columns, and it may give up
query($node, q{ALTER TABLE rswebhook.queue ADD note text});
my %undone = (
    'RETURN OLD' => [ 'BEFORE', 'ROW', 'RETURN OLD' ],
    'attempts counted from the start' => [ 'BEFORE', 'ROW', 'NEW.attempts := 0; RETURN NEW' ],
    'an attempt too many' => [ 'BEFORE', 'ROW', 'NEW.attempts := NEW.attempts + 1; RETURN NEW' ],
    'at once' => [ 'BEFORE', 'ROW', 'NEW.retry_at := NULL; RETURN NEW' ],
    'never too old' => [ 'BEFORE', 'ROW', 'NEW.first_attempt_at := NULL; RETURN NEW' ],
    'another row' => [ 'BEFORE', 'ROW', 'OLD.queued_at := clock_timestamp(); RETURN OLD' ],
    'undone later' => [ 'AFTER', 'ROW', 'UPDATE rswebhook.queue SET attempts = OLD.attempts WHERE event_id = OLD.event_id; RETURN NULL' ],
    'undone at the end' => [ 'AFTER', 'STATEMENT', 'UPDATE rswebhook.queue SET attempts = 0; RETURN NULL' ]);
# The log has such an error twice a minute only
my $shown = sub {
    query($node, q{SELECT count(*) FROM rswebhook.workers()
        WHERE lacks = 'outcomes cannot be recorded: rows of "rswebhook.queue" were not changed as they have to be'}) > 0;
};
my $undo = sub {
    my ($when, $each, $body, $event) = @_;

    $event //= 'UPDATE';
    query($node, qq{
        CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $body; END \$\$;
        CREATE TRIGGER mine $when $event ON rswebhook.queue FOR EACH $each
            WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION undo()});
};
foreach my $what (sort keys %undone)
{
    my $times = sub { scalar $receiver->requests_to("/first/1/500/undone/$serial") };

    $serial++;
    add_destination($node, "undone$serial", $receiver->url("/first/1/500/undone/$serial"), \%quick);
    $undo->(@{ $undone{$what} });
    my $id = send_event($node, { type => 'track', userId => 'kept' }, "undone$serial");
    ok(wait_for('the error, or too much', sub { $shown->() || $times->() > 1 }), "$what: a row does not become what it is to be");
    ok($shown->(), 'that is an error');
    pass_time(1);
    ok(delivered(), 'others are delivered');
    is($times->(), 1, 'it is not sent again');
    query($node, 'DROP TRIGGER mine ON rswebhook.queue; DROP FUNCTION undo()');
    ok(wait_until_sent($node), 'without it, it is recorded');
    is(query($node, "SELECT string_agg(concat_ws(' ', outcome, attempt), ', ' ORDER BY attempt) FROM rswebhook.delivery WHERE event_id = $id"),
        'retry 1, delivered 2', 'once each');
    ok(wait_for('nothing to be shown', sub { !$shown->() }), 'nor is it shown any more');
}
$serial++;
add_destination($node, "undone$serial", $receiver->url("/first/1/500/undone/$serial"), \%quick);
$undo->('AFTER', 'ROW', 'INSERT INTO rswebhook.queue SELECT OLD.*; RETURN NULL', 'DELETE');
send_event($node, { type => 'track', userId => 'kept' }, 'sink');
ok(wait_for('the error', $shown), 'a row that is put back when it is deleted is an error, too');
query($node, 'DROP TRIGGER mine ON rswebhook.queue; DROP FUNCTION undo()');
ok(wait_until_sent($node), 'without it, it is deleted');
$undo->('BEFORE', 'ROW', q{NEW.note := 'tried'; NEW.expires_at := NEW.expires_at + '1 h'; RETURN NEW});
my $noting = send_event($node, { type => 'track', userId => 'kept' }, "undone$serial");
ok(wait_for_query($node, "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM rswebhook.delivery WHERE event_id = $noting", 'retry delivered'),
    'a trigger may write what is none of the worker\'s');
query($node, 'DROP TRIGGER mine ON rswebhook.queue; DROP FUNCTION undo()');
$undo->('AFTER', 'ROW', 'PERFORM public.rswebhook_cancel(NEW.event_id); RETURN NULL');
add_destination($node, 'given_up', $receiver->url('/status/500'), \%quick);
my $given_up = send_event($node, { type => 'track', userId => 'kept' }, 'given_up');
ok(wait_until_sent($node), 'and may give up');
is(query($node, "SELECT string_agg(outcome, ' ' ORDER BY started_at) FROM rswebhook.delivery WHERE event_id = $given_up"),
    'retry cancelled', 'after one attempt');
query($node, 'DROP TRIGGER mine ON rswebhook.queue; DROP FUNCTION undo(); ALTER TABLE rswebhook.queue DROP note');

# Likewise what becomes of a destination
query($node, q{
    CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
    CREATE TRIGGER mine BEFORE UPDATE ON rswebhook.destination FOR EACH ROW EXECUTE FUNCTION never()});
my (undef, undef, $refusal) = $node->psql('postgres', q{SELECT rswebhook_pause('sink')});
like($refusal, qr/ERROR:  rows of "rswebhook.destination" were not changed as they have to be/, 'a pause that a trigger keeps out is an error');
add_destination($node, 'asking', $receiver->url('/text/410/asking'), { %quick, status_outcomes => '{"410": "pause"}' });
$from = -s $node->logfile;
send_event($node, { type => 'track', userId => "u$_" }, 'asking') foreach 1 .. 3;
$says_so = sub { times_logged($node, qr/rows of "rswebhook.destination" were not changed/, $from) };
wait_for('the error, or too much', sub { $says_so->() || $receiver->requests_to('/text/410/asking') > 20 });
ok($says_so->(), 'likewise one that the receiver asks for');
query($node, 'DROP TRIGGER mine ON rswebhook.destination');
ok(wait_for_query($node, q{SELECT paused FROM rswebhook.destination WHERE name = 'asking'}, 't'), 'without it, it is recorded');
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'asking'});
add_destination($node, 'breaking', $receiver->url('/first/1/500/breaking'), { %quick, breaker_failures => 1 });
query($node, 'CREATE TRIGGER mine BEFORE INSERT OR DELETE ON rswebhook.breaker FOR EACH ROW EXECUTE FUNCTION keep()');
$from = -s $node->logfile;
send_event($node, { type => 'track', userId => 'u' }, 'breaking');
ok(wait_for('the error', sub { times_logged($node, qr/rows of "rswebhook.breaker" were not changed/, $from) }), 'and a circuit breaker');
query($node, 'DROP TRIGGER mine ON rswebhook.breaker');
ok(wait_until_sent($node), 'its events are sent');
$receiver->switch('closing', '/status/500');
add_destination($node, 'closing', $receiver->url('/switch/closing'), { %quick, breaker_failures => 1 });
send_event($node, { type => 'track', userId => 'u' }, 'closing');
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.breaker', '1'), 'one is open');
query($node, 'CREATE TRIGGER mine BEFORE DELETE ON rswebhook.breaker FOR EACH ROW EXECUTE FUNCTION keep()');
$receiver->switch('closing', '/ok');
ok(wait_for_query($node, q{SELECT max(lacks) FROM rswebhook.workers()},
        'pauses and circuit breakers cannot be recorded: rows of "rswebhook.breaker" were not changed as they have to be'),
    'and stays so: an error, too');
query($node, 'DROP TRIGGER mine ON rswebhook.breaker');
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.breaker', '0'), 'without the trigger, it is closed');
ok(wait_until_sent($node), 'and its events are sent');

query($node, q{CREATE TRIGGER mine BEFORE INSERT ON rswebhook.delivery FOR EACH ROW EXECUTE FUNCTION note('unwanted')});
$kept = send_event($node, { type => 'track', userId => 'u' }, 'kept');
ok(wait_until_sent($node), 'a trigger keeps a row out of delivery: that is no error');
is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $kept"), '0', 'and there is none');
is(seen(), 'unwanted', 'as it was meant');
query($node, q{SELECT rswebhook_pause('kept')});
$kept = send_event($node, { type => 'track', userId => 'u' }, 'kept');
is(query($node, "SELECT rswebhook_cancel($kept)"), '1', 'what is cancelled is counted without it');
send_event($node, { type => 'track', userId => 'u' }, 'kept');
is(query($node, q{SELECT rswebhook_cancel_all('kept')}), '1', 'likewise of a destination');
query($node, q{SELECT rswebhook_resume('kept'); TRUNCATE seen});
query($node, 'DROP TRIGGER mine ON rswebhook.delivery');

ok(delivered(), 'without them again');
is(seen(), '', 'nothing fires');

#
# Columns, constraints and indexes
#
query($node, q{ALTER TABLE rswebhook.delivery ADD CONSTRAINT mine CHECK (status <> 200) NOT VALID});
my $refused = send_event($node, { type => 'track', userId => 'checked' }, 'sink');
ok( wait_for('the error', sub { times_logged($node, qr/violates check constraint "mine"/) }),
    'a check constraint is checked');
query($node, q{ALTER TABLE rswebhook.delivery DROP CONSTRAINT mine});
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $refused", 'delivered'),
    'what it refused is recorded without it');
query($node, q{ALTER TABLE rswebhook.delivery ADD CONSTRAINT mine CHECK (attempt < 100)});
ok(delivered(), 'one that allows everything');

query($node, q{
    ALTER TABLE rswebhook.delivery ALTER error SET DEFAULT 'none', ADD note text NOT NULL DEFAULT 'noted';
    ALTER TABLE rswebhook.queue ADD note text DEFAULT 'noted';
    ALTER TABLE rswebhook.event ADD note text DEFAULT 'noted'});
my $noted = delivered();
is(query($node, "SELECT coalesce(error, 'null'), note FROM rswebhook.delivery WHERE event_id = $noted"),
    'null|noted', 'a column that was added has its default');
query($node, q{
    ALTER TABLE rswebhook.delivery DROP CONSTRAINT mine, DROP note;
    ALTER TABLE rswebhook.queue DROP note;
    ALTER TABLE rswebhook.event DROP note});
ok(delivered(), 'without it again');

query($node, q{
    CREATE INDEX ON rswebhook.delivery (lower(outcome)) WHERE status = 200;
    CREATE INDEX ON rswebhook.delivery USING hash (request)});
my $indexed = delivered();
is( query($node, qq{
        SET enable_seqscan = off; SET enable_bitmapscan = off;
        SELECT count(*) FROM $delivery WHERE lower(outcome) = 'delivered' AND status = 200 AND event_id = $indexed}),
    '1', 'an index that was added has the row');
query($node, 'REINDEX TABLE CONCURRENTLY rswebhook.queue');
query($node, "REINDEX TABLE CONCURRENTLY rswebhook.event_$_") foreach 0 .. 9;
ok(delivered(), 'after REINDEX CONCURRENTLY');

# Primary keys of another shape, and none: it does not get faster
query($node, q{
    ALTER TABLE rswebhook.queue DROP CONSTRAINT queue_pkey;
    ALTER TABLE rswebhook.event DROP CONSTRAINT event_pkey});
ok(delivered(), 'without primary keys');
query($node, q{
    ALTER TABLE rswebhook.queue ADD PRIMARY KEY (event_id, destination_id);
    ALTER TABLE rswebhook.event ADD PRIMARY KEY (slot, id)});
ok(delivered(), 'with other primary keys');
query($node, q{
    ALTER TABLE rswebhook.queue DROP CONSTRAINT queue_pkey, ADD PRIMARY KEY (destination_id, event_id);
    ALTER TABLE rswebhook.event DROP CONSTRAINT event_pkey, ADD PRIMARY KEY (id, slot)});
ok(delivered(), 'with the first ones');

#
# Rows that move
#
$receiver->switch('pace', '/delay/3');
add_destination($node, 'slow', $receiver->url('/switch/pace/slow'), { %quick, max_in_flight => 2 });
my %moves = (
    'VACUUM FULL' => 'VACUUM FULL rswebhook.queue',
    'CLUSTER' => 'CLUSTER rswebhook.queue USING queue_pkey',
    'an UPDATE of nothing' => 'UPDATE rswebhook.queue SET event_slot = event_slot',
    'a new place of the table' => 'ALTER TABLE rswebhook.queue SET (fillfactor = 50); VACUUM FULL rswebhook.queue',
    'other events in the old places' => q{
        UPDATE rswebhook.queue SET event_slot = event_slot;
        UPDATE rswebhook.queue SET event_slot = event_slot WHERE event_id % 3 = 0});
foreach my $what (sort keys %moves)
{
    my $count = 400;
    my $before = scalar $receiver->requests;

    # so that rows are not where they were read, neither before nor after
    query($node, q{SELECT rswebhook_pause('slow')});
    my $ids = many('slow', $count);
    query($node, "$_") foreach split /; /, $moves{$what};
    query($node, q{SELECT rswebhook_resume('slow')});
    ok(wait_for('some to be sent', sub { $receiver->requests > $before + $count / 10 }), "moved by $what");
    # however long that takes
    $receiver->switch('pace', '/delay/200');
    foreach my $statement (split /;\s*/, $moves{$what})
    {
        query($node, $statement);
        query($node, 'VACUUM rswebhook.queue');
    }
    cmp_ok(query($node, 'SELECT count(*) FROM rswebhook.queue'), '>', 0, 'in the middle of it');
    $receiver->switch('pace', '/delay/3');
    ok(wait_until_sent($node), 'all of them are sent');
    is(scalar($receiver->requests) - $before, $count, 'each once');
    is(disorder($before), 0, 'in order');
    is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = ANY ('$ids') AND outcome = 'delivered'"),
        $count, 'each is recorded');
}

# A table that ends before the place where a row was
query($node, q{SELECT rswebhook_pause('slow')});
many('slow', 3000);
query($node, q{SELECT rswebhook_resume('slow')});
wait_for_query($node, 'SELECT count(*) < 2900 FROM rswebhook.queue', 't');
query($node, 'TRUNCATE rswebhook.queue');
ok(delivered('slow'), 'after TRUNCATE');

# A row that somebody makes another one of, while an attempt is under way, and
# one that only moves
add_destination($node, 'late', $receiver->url('/until/told/late'), { %quick, timeout => '5 min' });
my $before = scalar $receiver->requests;
my $late = send_event($node, { type => 'track', userId => 'u' }, 'late');
ok(wait_for('the request', sub { $receiver->requests > $before }), 'a request is under way');
query($node, "UPDATE rswebhook.queue SET attempts = 7 WHERE event_id = $late");
$receiver->switch('told', '');
ok(wait_for('the next request', sub { $receiver->requests > $before + 1 }), 'what is owed after an UPDATE is sent');
$receiver->switch('told', '');
ok(wait_until_sent($node), 'and no more than once');
is(query($node, "SELECT string_agg(attempt::text, ' ' ORDER BY attempt) FROM rswebhook.delivery WHERE event_id = $late"),
    '1 8', 'as another attempt');

$before = scalar $receiver->requests_to('/until/told/late');
$late = send_event($node, { type => 'track', userId => 'u' }, 'late');
ok(wait_for('the request', sub { $receiver->requests_to('/until/told/late') > $before }), 'a request is under way');
my $session = Session->new($node);
$session->query("BEGIN; UPDATE rswebhook.queue SET event_slot = event_slot WHERE event_id = $late");
$receiver->switch('told', '');
pass_time(1);
ok(delivered(), 'somebody has its row locked when the outcome is to be recorded: others are delivered');
is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $late"), '0', 'its outcome waits');
$session->query('COMMIT');
$session->close;
ok(wait_until_sent($node), 'the row is found where it is now');
is(scalar($receiver->requests_to('/until/told/late')) - $before, 1, 'and the event is not sent again');

# Somebody who has not made up his mind holds up nobody else
$late = send_event($node, { type => 'track', userId => 'u' }, 'late');
ok(wait_for('the request', sub { $receiver->requests_to('/until/told/late') > $before + 1 }), 'a request is under way');
$session = Session->new($node);
is($session->query("BEGIN; SELECT rswebhook_cancel($late)"), '1', 'an event under way is cancelled, perhaps');
$receiver->switch('told', '');
pass_time(1);
ok(delivered(), 'others are delivered');
$session->query('ROLLBACK');
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $late", 'delivered'),
    'it was not cancelled, so it was delivered');
add_destination($node, 'gone', $receiver->url('/status/410'), { %quick, status_outcomes => '{"410": "pause"}' });
$session->query(q{BEGIN; SELECT 1 FROM rswebhook.destination WHERE name = 'gone' FOR UPDATE});
send_event($node, { type => 'track', userId => 'u' }, 'gone');
ok(wait_for('the answer', sub { $receiver->requests_to('/status/410') }), 'a destination asks for a pause');
pass_time(1);
ok(delivered(), 'somebody has it locked: others are delivered');
is(query($node, q{SELECT paused FROM rswebhook.destination WHERE name = 'gone'}), 'f', 'that it is paused waits');
query($node, q{UPDATE rswebhook.destination SET timeout = '9 s' WHERE name = 'sink'});
send_event($node, { type => 'track', userId => 'v' }, 'gone');
ok(delivered(), 'destinations are read again');
is(scalar($receiver->requests_to('/status/410')), 1, 'the pause holds all the same');
$session->query('COMMIT');
$session->close;
ok(wait_for_query($node, q{SELECT paused FROM rswebhook.destination WHERE name = 'gone'}, 't'), 'and is recorded then');
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'gone'});

# With all of the queue locked, it does not go on for ever
query($node, q{SELECT rswebhook_pause('many')});
many('many', 4000);
$session = Session->new($node);
$session->query('BEGIN; SELECT count(*) FROM (SELECT FROM rswebhook.queue FOR UPDATE) AS locked');
$before = $receiver->requests_to('/many');
query($node, q{SELECT rswebhook_resume('many')});
ok(wait_for('the message', sub { times_logged($node, qr/an rswebhook worker sends nothing more/) }), 'with all of the queue locked, it stops, and says so');
# a thousand are held, another thousand may wait for the next record
cmp_ok(scalar($receiver->requests_to('/many')) - $before, '<', 3000, 'before it has sent all');
$session->query('COMMIT');
$session->close;
ok(wait_until_sent($node), 'then it goes on');
ok(times_logged($node, qr/the rswebhook worker has recorded what became of all its deliveries/), 'and says so, too');
is(scalar($receiver->requests_to('/many')) - $before, 4000, 'nothing was sent twice');

# A trigger that refuses one of many
my $refused_one = query($node, q{SELECT last_value + 3 FROM rswebhook.event_id_seq});
query($node, qq{
    CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS
        \$\$ BEGIN IF NEW.event_id = $refused_one THEN RAISE 'not this one'; END IF; RETURN NULL; END \$\$;
    CREATE TRIGGER picky AFTER INSERT ON rswebhook.delivery FOR EACH ROW EXECUTE FUNCTION picky()});
many('sink', 20);
ok(wait_for_query($node, 'SELECT array_agg(event_id) FROM rswebhook.queue', "{$refused_one}"), 'all but one are recorded');
ok(delivered(), 'others are delivered');
query($node, 'DROP TRIGGER picky ON rswebhook.delivery');
ok(wait_until_sent($node), 'when nobody refuses it, it is recorded, too');
is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $refused_one"), '1', 'it was sent once');

#
# Partitions
#
$before = -s $node->logfile;
query($node, "ALTER TABLE rswebhook.delivery DETACH PARTITION $delivery");
my $rows = query($node, "SELECT count(*) FROM $delivery");
my $without = send_event($node, { type => 'track', userId => 'u' }, 'sink');
ok( wait_for('the error', sub { times_logged($node, qr/no partition of relation/, $before) }),
    'a partition that is not one any more');
is(query($node, "SELECT count(*) FROM $delivery"), $rows, 'gets no rows');
my ($slot) = $delivery =~ /(\d+)$/;
query($node, qq{
    ALTER TABLE $delivery RENAME TO delivery_old;
    CREATE TABLE rswebhook.other (LIKE rswebhook.delivery_old);
    ALTER TABLE rswebhook.delivery ATTACH PARTITION rswebhook.other FOR VALUES IN ($slot)});
ok(wait_for_query($node, 'SELECT event_id FROM rswebhook.other', $without), 'another one in its place does');
query($node, 'DROP TABLE rswebhook.other; ALTER TABLE rswebhook.delivery_old RENAME TO ' . ($delivery =~ /(\w+)$/)[0]);
query($node, "ALTER TABLE rswebhook.delivery ATTACH PARTITION $delivery FOR VALUES IN ($slot)");
ok(delivered(), 'with the first one again');

#
# Long values, and what follows the tables elsewhere
#
my $bytes = 300_000;
add_destination($node, 'long', $receiver->url("/body/$bytes"), \%quick);
my @long = map { delivered('long') } 1 .. 3;
is(query($node, 'SELECT DISTINCT octet_length(response_body) FROM rswebhook.delivery WHERE event_id IN (' . join(', ', @long) . ')'),
    $bytes, 'an answer that is longer than a page is kept');
my $noise = join '', map { sprintf '%08x', ($_ * 2654435761) % 4294967296 } 1 .. 900;
add_destination($node, 'noise', $receiver->url("/text/200/$noise"), \%quick);
my $noisy = delivered('noise');
is(query($node, "SELECT response_body FROM rswebhook.delivery WHERE event_id = $noisy"), $noise,
    'likewise one that cannot be compressed');
my $payload = send_event($node, { type => 'track', userId => 'u', properties => { noise => $noise } }, 'sink');
ok(wait_until_sent($node), 'a long payload');
like(($receiver->requests)[-1]->{body}, qr/"noise":\s*"$noise"/, 'is sent');

SKIP:
{
    my ($code) = $node->psql('postgres', q{SELECT pg_create_logical_replication_slot('changes', 'test_decoding')});

    skip 'no test_decoding', 2 if $code != 0;
    my $id = delivered();
    my $changes = query($node, q{SELECT data FROM pg_logical_slot_get_changes('changes', NULL, NULL)});
    like($changes, qr/^table \Q$delivery\E: INSERT: .* event_id\[bigint\]:$id /m, 'logical decoding sees a delivery');
    like($changes, qr/^table rswebhook\.queue: DELETE: .*event_id\[bigint\]:$id$/m, 'and the end of the queue row');
}

is(query($node, q{SELECT count(*) FROM rswebhook.queue}), '0', 'nothing is owed');

done_testing();

# An event that is sent, recorded, and owed no more: its id
sub delivered
{
    my ($destination) = @_;
    my $id = send_event($node, { type => 'track', userId => 'u' }, $destination // 'sink');

    return wait_for_query($node, qq{
        SELECT count(*) FROM rswebhook.delivery WHERE event_id = $id AND outcome = 'delivered'
        AND NOT EXISTS (SELECT FROM rswebhook.queue WHERE event_id = $id)}, '1') ? $id : 0;
}

# Events of seven users with their number; the ids as an array
sub many
{
    my ($destination, $count) = @_;

    return query($node, qq{
        SELECT array_agg(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % 7,
            'properties', jsonb_build_object('n', n)), '$destination') ORDER BY n)
        FROM generate_series(1, $count) AS n});
}

# Requests after so many that came later than one of the same user with a higher number
sub disorder
{
    my ($skip) = @_;
    my @requests = $receiver->requests;
    my (%last, $count);

    $count = 0;
    foreach my $request (@requests[ $skip .. $#requests ])
    {
        my $event = decode_json($request->{body});
        my $n = $event->{properties}{n};

        $count++ if $n <= ($last{ $event->{userId} } // 0);
        $last{ $event->{userId} } = $n;
    }
    return $count;
}

# Rows of the queue that were deleted, and index scans, once the former are so
# many; the worker tells of what is left before it is idle
sub statistics
{
    my ($deleted) = @_;
    my @numbers;

    wait_for('the statistics', sub {
            @numbers = split /\|/, query($node, q{
                SELECT n_tup_del, idx_scan FROM pg_stat_user_tables WHERE relid = 'rswebhook.queue'::regclass});
            return $numbers[0] >= $deleted;
        });
    return @numbers;
}

# What triggers and rules have noted since it was last asked
sub seen
{
    return query($node, q{WITH gone AS (DELETE FROM seen RETURNING what) SELECT string_agg(DISTINCT what, ' ') FROM gone});
}
