# Databases that have more need of workers than there is room for: who delivers nothing
# gives way, and who found no room is not forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

delete $ENV{RSWEBHOOK_WORKERS};    # as many as are counted with here
my $receiver = new_receiver();
my $serial = 0;

copies_give_way();
nobody_is_forgotten();
done_testing();

# Copies that are not adopted have workers, which must not be in the way of one that
# delivers: neither of its background worker nor of its place among the databases
sub copies_give_way
{
    my $node = new_node('copies', conf => "max_worker_processes = 6\nrswebhook.max_databases = 4\n");

    query($node, 'CREATE DATABASE stencil');
    query($node, 'CREATE EXTENSION rswebhook', 'stencil');
    ok(delivers($node, $_), "\"$_\" delivers") foreach qw(postgres stencil);
    query($node, 'ALTER DATABASE stencil IS_TEMPLATE true');

    # a session of ours in each has its worker looked for
    foreach my $n (1 .. 6)
    {
        query($node, "CREATE DATABASE copy$n TEMPLATE stencil");
        query($node, q{SELECT rswebhook_send('{"type": "track"}', 'shop')}, "copy$n");
    }
    foreach my $round (1 .. 4)
    {
        query($node, 'SELECT pg_terminate_backend(rswebhook.worker_pid())');
        send_event($node, { type => 'track' }, 'shop');
        ok(wait_until_sent($node), "round $round: it delivers beside copies");
    }
    is(query($node, 'SELECT state FROM rswebhook.status'), 'active', 'as its status says');
    is(query($node, 'SELECT state FROM rswebhook.status', 'copy1'), 'not adopted', 'and that of a copy');

    # there is room for a new one, too
    query($node, 'CREATE DATABASE fresh');
    query($node, 'CREATE EXTENSION rswebhook', 'fresh');
    ok(delivers($node, 'fresh'), 'and so does a new database');
    $node->stop;
    return;
}

# A database that was looked at before it had the extension, and found no place when it
# had, has one as soon as one is free
sub nobody_is_forgotten
{
    my $node = new_node('forgotten', conf => "rswebhook.max_databases = 2\n");

    query($node, 'CREATE DATABASE later');
    query($node, 'CREATE DATABASE other');
    query($node, 'CREATE EXTENSION rswebhook', 'other');
    ok(delivers($node, $_), "\"$_\" has a worker") foreach qw(postgres other);

    query($node, 'CREATE EXTENSION rswebhook', 'later');
    my $id = queue($node, 'later');
    ok(wait_for('a word of it', sub { logged($node, 0) =~ /there are workers for rswebhook\.max_databases = 2 databases/ }),
        'that there is no room is said in the log');
    is(query($node, 'SELECT state FROM rswebhook.status', 'later'), 'no worker', 'and in its status');
    query($node, 'DROP DATABASE other');
    ok(arrived($id), 'when there is room, it delivers');
    query($node, 'CREATE DATABASE other');

    # a command that holds a database without a worker takes no room
    query($node, 'DROP DATABASE later');
    query($node, "CREATE DATABASE held$_") foreach 1 .. 3;
    my $holder = $node->background_psql('postgres');
    $holder->query_safe(join '; ', 'BEGIN', map { "ALTER DATABASE held$_ RENAME TO kept$_" } 1 .. 3);
    query($node, 'CREATE EXTENSION rswebhook', 'other');
    ok(delivers($node, 'other'), 'nor does a command need a place for a database that has no worker');
    $holder->query_safe('ROLLBACK');
    $holder->quit;
    ok(delivers($node, $_), "\"$_\" still delivers") foreach qw(postgres other);
    $node->stop;
    return;
}

# The id by which the receiver knows an event
sub queue
{
    my ($node, $database) = @_;
    my $id = "$database-" . ++$serial;

    query($node, qq{INSERT INTO rswebhook.destination (name, url) VALUES ('shop', '@{[ $receiver->url('/ok') ]}') ON CONFLICT DO NOTHING}, $database);
    query($node, qq{SELECT rswebhook_send('{"type": "track", "messageId": "$id"}', 'shop')}, $database);
    return $id;
}

sub arrived
{
    my ($id) = @_;

    return wait_for($id, sub { grep { ($_->{headers}{'webhook-id'} // '') eq $id } $receiver->requests });
}

sub delivers
{
    return arrived(queue(@_));
}
