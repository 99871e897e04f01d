# A row of the queue is known by its key and by what was claimed: not by its
# place, which rows of several partitions and children share, and which changes
# when somebody else changes the row, however the table is made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('places');
my %quick = (min_backoff => '50 ms', max_backoff => '100 ms', breaker_failures => 0);

add_destination($node, 'first', $receiver->url('/ok/first'), \%quick);
add_destination($node, 'second', $receiver->url('/ok/second'), \%quick);
add_destination($node, 'again', $receiver->url('/first/1/500/again'), { %quick, min_backoff => '1 h', max_backoff => '1 h' });
add_destination($node, 'slow', $receiver->url('/jitter/600/slow'), { %quick, max_in_flight => 60 });
add_destination($node, 'failing', $receiver->url('/jitter/600/first/1/500/failing'), { %quick, max_in_flight => 60 });
my ($first, $again) = map { query($node, "SELECT rswebhook.destination_id('$_')") } qw(first again);

#
# Rows in the same places of several tables
#
my $partitions = qq{
    ALTER TABLE rswebhook.queue RENAME TO old_queue;
    CREATE TABLE rswebhook.queue (LIKE rswebhook.old_queue INCLUDING DEFAULTS,
        PRIMARY KEY (destination_id, event_id)) PARTITION BY LIST (destination_id);
    CREATE TABLE rswebhook.some PARTITION OF rswebhook.queue FOR VALUES IN ($first, $again);
    CREATE TABLE rswebhook.others PARTITION OF rswebhook.queue DEFAULT};
my $no_partitions = 'DROP TABLE rswebhook.queue; ALTER TABLE rswebhook.old_queue RENAME TO queue';
my $child = 'CREATE TABLE rswebhook.child () INHERITS (rswebhook.queue)';
my $move = q{
    WITH moved AS (DELETE FROM ONLY rswebhook.queue RETURNING *) INSERT INTO rswebhook.child SELECT * FROM moved;
    VACUUM FULL rswebhook.queue; VACUUM FULL rswebhook.child};

foreach my $layout ([ 'a partitioned queue', $partitions, undef, $no_partitions ],
    [ 'a child of the queue', $child, $move, 'DROP TABLE rswebhook.child' ])
{
    my ($what, $make, $arrange, $undo) = @$layout;

    query($node, $make);
    foreach my $destination ('first', 'again')
    {
        query($node, "SELECT rswebhook_pause(d) FROM unnest(ARRAY['$destination', 'second']) AS d");
        send_three($destination);
        query($node, "$_") foreach split /; /, $arrange // '';
        send_three('second');
        query($node, 'VACUUM FULL rswebhook.queue');
        is(query($node, 'SELECT count(*), count(DISTINCT ctid), sum(attempts) FROM rswebhook.queue'), '6|3|0',
            "$what: six rows are in three places");
        my $before = $receiver->requests_to('/ok/second');
        query($node, "SELECT rswebhook_resume('$destination')");
        ok( wait_for_query($node, qq{
                SELECT count(*) FROM rswebhook.queue
                WHERE destination_id = rswebhook.destination_id('$destination') AND attempts = 0}, '0'),
            "$what: those of $destination are sent");
        is(query($node, q{
                SELECT count(*), sum(attempts), count(retry_at) FROM rswebhook.queue
                WHERE destination_id = rswebhook.destination_id('second')}), '3|0|0',
            'the others are as they were');
        is(query($node, 'SELECT sum(attempts), count(retry_at) FROM rswebhook.queue'),
            $destination eq 'again' ? '3|3' : '0|0', 'and only what failed waits to be tried again');
        query($node, q{SELECT rswebhook_cancel_all('again')});
        query($node, q{SELECT rswebhook_resume('second')});
        ok(wait_until_sent($node), 'then they are sent');
        is($receiver->requests_to('/ok/second') - $before, 3, 'each once');
    }
    query($node, "$_") foreach split /; /, $undo;
}

#
# Rows that somebody changes, which changes nothing but their places, while what
# became of them is recorded: at once, and again and again
#
query($node, q{
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$});
my $key = 'ADD CONSTRAINT queue_pkey PRIMARY KEY (destination_id, event_id)';
my @shapes = (
    [ 'as it was', '', '' ],
    [ 'whose child was dropped', "$child; DROP TABLE rswebhook.child", '' ],
    [ 'with a child', $child, 'DROP TABLE rswebhook.child' ],
    [ 'in partitions', $partitions, $no_partitions ],
    [ 'with a trigger', 'CREATE TRIGGER mine BEFORE DELETE ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION nothing()',
        'DROP TRIGGER mine ON rswebhook.queue' ],
    [ 'with a column more', 'ALTER TABLE rswebhook.queue ADD note text', 'ALTER TABLE rswebhook.queue DROP note' ],
    [ 'with numeric ids', 'ALTER TABLE rswebhook.queue ALTER event_id TYPE numeric',
        'ALTER TABLE rswebhook.queue ALTER event_id TYPE bigint' ],
    [ 'with another key', 'ALTER TABLE rswebhook.queue DROP CONSTRAINT queue_pkey, ADD CONSTRAINT queue_pkey PRIMARY KEY (event_id, destination_id)',
        "ALTER TABLE rswebhook.queue DROP CONSTRAINT queue_pkey, $key" ],
    [ 'without a key', 'ALTER TABLE rswebhook.queue DROP CONSTRAINT queue_pkey', "ALTER TABLE rswebhook.queue $key" ]);
foreach my $shape (@shapes)
{
    my ($what, $make, $undo) = @$shape;
    my $before = $receiver->requests;

    query($node, $make);
    my $last = query($node, 'SELECT last_value FROM rswebhook.event_id_seq');
    query($node, q{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', d || n), d))
        FROM generate_series(1, 30) AS n, unnest(ARRAY['slow', 'failing']) AS d});
    query($node, q{
        DO $$ BEGIN
            WHILE EXISTS (SELECT FROM rswebhook.queue) LOOP
                UPDATE rswebhook.queue SET event_slot = event_slot;
                PERFORM pg_sleep(0.03);
                COMMIT;
                PERFORM pg_sleep(0.03);
            END LOOP;
        END $$});
    is(scalar($receiver->requests) - $before, 90, "a queue $what: each is sent as often as it should be");
    is(query($node, qq{
            SELECT count(*), count(DISTINCT (event_id, attempt)), count(*) FILTER (WHERE outcome = 'delivered')
            FROM rswebhook.delivery WHERE event_id > $last}), '90|90|60', 'each attempt is recorded once');
    query($node, "$_") foreach split /; /, $undo;
}

done_testing();

sub send_three
{
    my ($destination) = @_;

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n), '$destination'))
        FROM generate_series(1, 3) AS n});
    return;
}
