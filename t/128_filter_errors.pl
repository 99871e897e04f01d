# What is not a filter's own error is not taken for one: a cancel that comes while a
# filter is being stopped, because it takes too long, counts, and so does memory that is
# lacking.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $node = new_node('filter_errors');

# Two paths whose comparison takes long and is not interrupted, each after some others
query($node, q{
    INSERT INTO rswebhook.destination (name, url, paused) VALUES ('slow', 'http://127.0.0.1:1/', true);
    CREATE TABLE slow AS SELECT jsonb_build_object(
        'a', (SELECT jsonb_agg(repeat('a', 90) || lpad(n::text, 6)) FROM generate_series(1, 1990) AS n),
        'b', (SELECT jsonb_agg(repeat('a', 90) || lpad((n + 5000)::text, 6)) FROM generate_series(1, 1990) AS n)) AS event;
    CREATE TABLE box (event jsonb);
    CREATE TRIGGER webhook AFTER INSERT ON box FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox()});
my @survivors;
foreach my $before (8 .. 12)
{
    query($node, qq{
        UPDATE rswebhook.destination
        SET filter = (repeat('\$.a[0 to 497] == \$.b[*] || ', $before) || '\$.a[*] == \$.b[*]')::jsonpath});
    foreach my $timeout (250, 308, 400, 517, 680, 900)
    {
        my ($status) = $node->psql('postgres', qq{
            SET statement_timeout = $timeout;
            INSERT INTO box SELECT event FROM slow, generate_series(1, 60)});

        push @survivors, "$before terms, $timeout ms" if $status == 0;
    }
}
is(join("\n", @survivors), '', 'a statement timeout counts, also in the middle of a filter');

# Nor is what the server lacks: an event must not go nowhere for that
query($node, q{TRUNCATE box; UPDATE rswebhook.destination SET filter = '$.a == 1'});
inject($node, 'filter memory');
my ($status, $out, $err) = $node->psql('postgres', q{INSERT INTO box VALUES ('{"a": 1}')});
is($status, 3, 'no memory for a filter is an error');
like($err, qr/out of memory/, 'which says so');
inject($node, 'filter error');
query($node, q{INSERT INTO box VALUES ('{"a": 1}')});
inject($node);
is(query($node, q{SELECT count(*) FROM rswebhook.filter_errors() WHERE last ~ 'as it was told'}), '1', 'another error of it counts as no');
is(query($node, q{SELECT count(*) FROM box}), '1', 'and fails nothing');

done_testing();
