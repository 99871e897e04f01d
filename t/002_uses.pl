# The three uses that the README shows, from the very files it shows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('uses');
my $readme = slurp(source_dir() . '/README.md');

add_destination($node, 'shop', $receiver->url('/shop'));

# A trigger function of one's own
run_example('trigger');
query($node, q{
    INSERT INTO orders (customer, product, price)
    VALUES ('ann', 'boots', 60), ('bob', 'hat', 25.5);
    BEGIN;
    INSERT INTO orders (customer, product, price) VALUES ('eve', 'ring', 1000);
    ROLLBACK;});
ok(wait_until_sent($node), 'the orders are sent');
is_deeply(
    [ sort map { "$_->{event}: $_->{properties}{customer} $_->{properties}{product} $_->{properties}{price}" }
          bodies() ],
    [ 'Order Placed: ann boots 60', 'Order Placed: bob hat 25.5' ],
    'one for each order that was committed');

# An outbox
run_example('outbox');
my $before = bodies();
query($node, q{
    INSERT INTO outbox (event)
    SELECT jsonb_build_object('type', 'track', 'userId', 'ann', 'event', 'Step ' || n)
    FROM generate_series(1, 20) AS n;
    BEGIN;
    INSERT INTO outbox (event) VALUES ('{"type": "track", "userId": "ann", "event": "Never"}');
    ROLLBACK;});
ok(wait_until_sent($node), 'the outbox is sent');
is(query($node, 'SELECT count(*) FROM outbox'), '0', 'and empty');
my @steps = bodies();
is_deeply(
    [ map { $_->{event} } @steps[ $before .. $#steps ] ],
    [ map { "Step $_" } 1 .. 20 ],
    'each once, in the order of the rows');

# Ad hoc questions
my @answers = split /\n/, run_example('transform');
is(scalar @answers, 3, 'three previews');
my ($shop, $get, $config) = map { JSON::PP->new->decode($_) } @answers;
is($shop->{method}, 'POST', 'of a destination: its method');
is($shop->{endpoint}, $receiver->url('/shop'), 'its URL');
is($shop->{body}{JSON}{event}, 'Order Placed', 'the body');
is_deeply($get, { price => 60, 'tags[0]' => 'boots', 'tags[1]' => 'new' },
    'of a bare method: the params');
is($config->{method}, 'DELETE', 'of a configuration: its method');
is($config->{endpoint}, 'https://example.com/users', 'its URL');
is($config->{headers}{'x-team'}, 'growth', 'its headers');
is_deeply($config->{params}, { plan => 'Enterprise' }, 'the params');
is(scalar bodies(), 22, 'a preview sends nothing');

done_testing();

# Runs an example, which must be in the README as it is in the file, below
# its opening comment.
sub run_example
{
    my ($name) = @_;
    my $sql = slurp(source_dir() . "/examples/$name.sql");

    my (undef, $shown) = split /\n\n/, $sql, 2;
    ok(index($readme, $shown) >= 0, "the README shows examples/$name.sql");
    return query($node, $sql);
}

sub bodies
{
    return map { JSON::PP->new->decode($_->{body}) } $receiver->requests;
}

sub slurp
{
    my ($file) = @_;

    open my $in, '<', $file or die "could not read \"$file\": $!\n";
    local $/;
    return scalar <$in>;
}
