# A destination of which nothing is known yet, and the first of its users have requests that
# hang: others arrive all the same, without waiting for the time of any of these to be over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('first', conf => "rswebhook.workers = 2\n");

await_workers($node, 2);
foreach my $case ([1, 12, 10, 1], [1, 100, 5, 0], [2, 12, 10, 1])
{
    my ($workers, $crowd, $users, $ordered) = @$case;
    my $name = "first_${workers}_${crowd}";

    add_destination($node, $name, $receiver->url('/'),
        { timeout => '1 h', breaker_failures => 6, workers => $workers, ordered => $ordered });
    events($name, 'hang', $crowd);
    ok(wait_for('requests that hang', sub { scalar $receiver->requests_to("/hang/$name") >= 4 * $workers }),
        "$name: they hang");
    events($name, 'ok', $users) for 1 .. 3;
    ok(wait_for_query($node, delivered($name), 3 * $users), 'the others arrive');
    is(query($node, qq{SELECT count(*) FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('$name') AND outcome <> 'delivered'}),
        0, 'before any of those has ended');
    query($node, "SELECT rswebhook_pause('$name')");
}

$node->stop('immediate');
done_testing();

# An event each of so many users, whose names say what becomes of their requests
sub events
{
    my ($destination, $path, $count) = @_;

    query($node, sprintf(q{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', '%2$s' || i,
        'fullPath', '%3$s'), '%1$s')) FROM generate_series(1, %4$d) AS i},
        $destination, $path, $receiver->url("/$path/$destination"), $count));
    return;
}

sub delivered
{
    my ($destination) = @_;

    return qq{SELECT count(*) FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('$destination') AND outcome = 'delivered'};
}
