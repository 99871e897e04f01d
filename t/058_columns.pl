# What a destination's columns are not as they were made to be, or hold more than
# they may, is one destination's matter, or else all of them wait: nothing is
# sent otherwise than it was meant to be, and nothing is given up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

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
    my (undef, undef, $error) = $node->psql('postgres', q{SELECT rswebhook_send('{"type": "track"}', 'signed')});
    like($error, qr/column "$column" of relation "rswebhook.destination" does not exist.*HINT.*TO $column,/s,
        'so does a send');
    query($node, "ALTER TABLE rswebhook.destination RENAME hidden TO $column");
    ok(wait_until_sent($node), 'it goes when the column is back');
}
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered'}), '0', 'nothing is given up');
is_deeply(
    [ grep { $_->{method} ne 'PUT' || !$_->{headers}{'webhook-signature'}
            || ($_->{headers}{authorization} // '') ne 'Bearer sesame' } $receiver->requests ],
    [], 'nothing is sent otherwise than it was meant to be');

done_testing();
