# doc/operations.md: its examples run, it says what each kind of alert means, and its figures are of the order that
# they are here.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('operations', conf => "cluster_name = 'page'\n");
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/operations.md');
my $reference = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/reference.md');

# Something to look at: of shop, of which some are delivered and one was given up
add_destination($node, 'shop', $receiver->url('/ok'));
add_destination($node, 'gone', $receiver->url('/status/404'));
my $id = send_event($node, { type => 'track', event => 'Seen', userId => 'ann' });
ok(wait_until_sent($node), 'an event is delivered, and given up');

# Each by itself, as commands that commit are among them
my @examples = $page =~ /^( *)```sql\n(.*?)^\1```$/gms;
my $count = 0;
while (my ($indent, $sql) = splice @examples, 0, 2)
{
    $sql =~ s/^$indent//mg;
    $sql =~ s/\b4711\b/$id/g;
    $sql =~ s/--.*$//mg;
    foreach my $statement (grep { /\S/ } split /;\s*\n|;\s*$/, $sql)
    {
        my ($status, $out, $error) = $node->psql('postgres', $statement);

        $statement =~ s/\s+/ /g;
        is("$status $error" =~ s/\S*\s*NOTICE:.*//sr, '0 ', $statement);
        $count++;
        next unless $statement =~ /CALL rswebhook_test/;
        like($out, qr/\|delivered\|200\|/, 'an event through the real path');
    }
}
cmp_ok($count, '>', 20, 'examples');
ok(wait_until_sent($node), 'what they send is sent');
is(query($node, q{SELECT state FROM rswebhook.status WHERE destination = 'shop'}), 'active', 'all goes on');

# What is said of alerts is of all that there are
my ($known) = $reference =~ /^\| `kind` \| when \| lasts \|\n(.*?)\n\n/ms;
my ($explained) = $page =~ /^\| alert \| rule \|(.*?)\n\n/ms;
is(join(', ', grep { $explained !~ /^\| `$_` \|/m } $known =~ /`((?:destination|event|secret|certificate|queue|workers|settings)(?: \w+)?)`(?=[^|\n]*\|)/g),
    '', 'each kind of alert is explained');
is(join(', ', grep { !-e source_dir() . "/monitoring/$_" } $page =~ /^\| `([\w.-]+\.(?:yml|json))`/mg), '', 'the files are there');

# Disk, by an event as large as the page says: no more than twice that, as parts of the ring begin with a page
query($node, q{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'event', 'Order Placed', 'userId', 'u' || n, 'messageId', gen_random_uuid(),
    'properties', jsonb_build_object('price', n, 'note', repeat('x', 60))), 'shop')) FROM generate_series(1, 3000) n});
ok(wait_until_sent($node), 'three thousand are delivered');
foreach my $table ([ event => qr/(\d+) bytes of `rswebhook\.event`/ ], [ delivery => qr/and (\d+) of `rswebhook\.delivery`/ ])
{
    my ($name, $pattern) = @$table;
    my ($said) = $page =~ $pattern;
    my $each = query($node, "SELECT sum(pg_total_relation_size(oid)) / 3000 FROM pg_class WHERE relnamespace = 'rswebhook'::regnamespace AND relname LIKE '$name\\_%' AND relkind = 'r'");

    cmp_ok($each, '<', 2 * $said, "$name: some $said bytes") or diag($each);
    cmp_ok($each, '>', $said / 2, 'and no less');
}

$node->stop;
done_testing();
