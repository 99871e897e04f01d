# examples/saas and doc/customers.md: each customer has its own endpoints, is sent its own events, sees and changes
# what is its own, also after a dump and a restore, and its users' data can be erased.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->utf8->allow_nonref->canonical;
my $receiver = new_receiver();
my $node = new_node('customers', conf => "rswebhook.response_body_limit = '4kB'\n");
my $place = temp_dir('customers');
my $customers = 50;

# The receiver speaks http only
foreach my $file ('saas.sql', 'index.sql')
{
    my $sql = PostgreSQL::Test::Utils::slurp_file(source_dir() . "/examples/saas/$file");

    $sql =~ s{'https://}{'http://}g;
    query($node, $sql);
    query($node, $sql) if $file eq 'index.sql';
}

# The page's examples; customer c7 is another one's below
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/customers.md');
my (undef, $grants, $send, $trigger, $own_page) = $page =~ /^```sql\n(.*?)^```$/gms;
query($node, "CREATE ROLE backend LOGIN; CREATE ROLE pages LOGIN; CREATE ROLE nobody LOGIN; $grants $trigger GRANT INSERT ON orders TO backend");
$own_page =~ s{'https://hooks\.example\.com}{"'" . $receiver->url('')}e;
my ($listed, $failed) = psql_as('pages', $own_page =~ s/c7/c0/gr);
like($listed, qr/^whsec_.*\norders\|.*\|t\|.*\|0\|1$/s, 'what a customer does on its page') or diag($failed);
is(backend($send =~ s/c7/c0/r), 1, 'what the application sends');
backend(q{INSERT INTO orders (tenant, customer, price) VALUES ('c0', 'ann', 60)});
ok(wait_until_sent($node), 'and what a trigger does');
is(join(' ', map { $_->{target} . ($_->{body} =~ /"event":"([^"]*)"/)[0] } $receiver->new_requests), '/c0Order Placed /c0Order Placed', 'arrive');
foreach my $name ($page =~ /`(saas\.\w+)/g)
{
    is(query($node, qq{SELECT to_regclass('$name') IS NOT NULL OR to_regproc('$name') IS NOT NULL}), 't', "$name is there") if $name !~ /\.sql/;
}
page('c0', q{SELECT saas.drop_endpoint('orders')});

# ---------------------------------------------------------------------
# Endpoints, and sends
# ---------------------------------------------------------------------
my %secret;
foreach my $n (1 .. $customers)
{
    my $url = $receiver->url("/c$n");
    $secret{"c$n"} = page("c$n", "SELECT saas.add_endpoint('orders', '$url/orders', '{Order Placed,Order Shipped}')");
    page("c$n", "SELECT saas.add_endpoint('all', '$url/all')");
}
is(page('c7', 'SELECT string_agg(concat_ws(' . q{' ', name, events, enabled, pending, secrets), ', ' ORDER BY name) FROM saas.my_endpoints}),
    'all {*} t 0 1, orders {"Order Placed","Order Shipped"} t 0 1', 'a customer sees its own endpoints');

is(backend(q{SELECT saas.send('c7', '{"type": "track", "event": "Order Placed", "userId": "ann", "properties": {"price": 60}}')}), 2, 'an event goes to both');
is(backend(q{SELECT saas.send('c7', '{"type": "track", "event": "Cart Viewed", "userId": "ann"}')}), 1, 'or to the one that wants it');
is(backend(q{SELECT saas.send('c8', '{"type": "track", "event": "Order Placed", "userId": "ann"}')}), 2, 'and of another customer, to that one');
is(backend(q{SELECT saas.send('nobody', '{"type": "track", "event": "Order Placed", "userId": "ann"}')}), 0, 'and to nobody else');
is(query($node, q{SELECT coalesce(rswebhook_send('{"type": "track", "event": "Order Placed"}')::text, 'none')}), 'none',
    'what is sent without a destination goes to no customer');
ok(wait_until_sent($node), 'all are sent');
is(join(' ', sort map { $_->{target} } $receiver->new_requests), '/c7/all /c7/all /c7/orders /c8/all /c8/orders', 'each customer got its own');
my @placed = grep { $_->{target} =~ /^\/c7/ && $_->{body} =~ /Order Placed/ } $receiver->requests;
is($placed[0]{headers}{'webhook-id'}, $placed[1]{headers}{'webhook-id'}, 'both endpoints got it under one id');
like($placed[0]{headers}{'webhook-signature'}, qr/^v1,/, 'signed');

# ---------------------------------------------------------------------
# What a customer may, and what not
# ---------------------------------------------------------------------
is(page('c7', q{SELECT string_agg(concat_ws(' ', event, attempt, outcome, status, duration_ms > 0, response, payload LIKE '%"price": 60%'), ', ' ORDER BY started_at)
        FROM saas.my_deliveries('orders')}), 'Order Placed 1 delivered 200 t ok t', 'a customer sees its deliveries');
is(page('c7', q{SELECT count(*) FROM saas.my_deliveries('all', count => 1)}), 1, 'a page of them');
is(page('c7', q{SELECT count(*) FROM saas.my_deliveries('all', (SELECT min(started_at) FROM saas.my_deliveries('all')))}), 0, 'and the next');

my $foreign = query($node, q{SELECT max(event_id) FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('c8/all')});
my $own = query($node, q{SELECT max(event_id) FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('c7/all')});
query($node, q{INSERT INTO rswebhook.destination (name, url) VALUES ('ours', 'http://127.0.0.1:1/')});
foreach my $refused (
    [ 'SELECT * FROM rswebhook.destination', qr/permission denied/ ],
    [ 'SELECT * FROM rswebhook.delivery', qr/permission denied/ ],
    [ 'SELECT * FROM saas.endpoint', qr/permission denied/ ],
    [ 'SELECT * FROM saas.usage', qr/permission denied/ ],
    [ 'SELECT * FROM saas.usage_day', qr/permission denied/ ],
    [ q{SELECT saas.send('c8', '{"type": "track"}')}, qr/permission denied/ ],
    [ q{SELECT saas.erase_user('c8', 'ann')}, qr/permission denied/ ],
    [ q{SELECT saas.mine('all')}, qr/permission denied/ ],
    [ q{SELECT rswebhook_send('{"type": "track"}'::jsonb, 'ours')}, qr/permission denied/ ],
    [ q{SELECT * FROM saas.my_deliveries('c8/all')}, qr/there is no endpoint/ ],
    [ q{SELECT saas.secret('../c8/all')}, qr/there is no endpoint/ ],
    [ q{SELECT saas.test('ours')}, qr/there is no endpoint/ ],
    [ q{SELECT saas.drop_endpoint('ours')}, qr/there is no endpoint/ ],
    [ q{SELECT saas.change_endpoint('ours', enabled => false)}, qr/there is no endpoint/ ],
    [ q{SELECT saas.rotate_secret('ours')}, qr/there is no endpoint/ ],
    [ q{SELECT saas.replay_since('ours', '2020-01-01')}, qr/there is no endpoint/ ],
    [ "SELECT saas.replay('all', $foreign)", qr/was not sent there/ ],
    [ q{SELECT saas.add_endpoint('x', 'ftp://127.0.0.1/')}, qr/must begin with/ ],
    [ q{SELECT saas.add_endpoint('x', 'http://127.0.0.1/{{ event.x || y }}')}, qr/./ ],
    [ q{SELECT saas.add_endpoint('a/b', 'http://127.0.0.1/')}, qr/violates check constraint/ ],
    [ q{SELECT saas.add_endpoint('all', 'http://127.0.0.1/')}, qr/duplicate key/ ],
    [ q{SELECT saas.change_endpoint('all', events => array_fill('x'::text, '{101}'))}, qr/violates check constraint/ ],
    [ q{SELECT saas.change_endpoint('all', 'file:///etc/passwd')}, qr/must begin with/ ])
{
    my ($sql, $why) = @$refused;

    like(error_of('c7', $sql), $why, "refused: $sql");
}
foreach my $tenant ("''", 'DEFAULT')
{
    is(page_as($tenant, 'SELECT count(*) FROM saas.my_endpoints'), 0, "who acts for nobody ($tenant) sees nothing");
    like((psql_as('pages', "SET saas.tenant = $tenant; SELECT saas.add_endpoint('x', 'http://127.0.0.1/')"))[1], qr/acts for no tenant/, 'and adds nothing');
}
is(page('c7', q{SELECT count(*) FROM saas.my_endpoints WHERE url LIKE '%/c8/%' OR (SELECT true)}), 2, 'nor do conditions see any others');
query($node, 'GRANT USAGE ON SCHEMA public TO PUBLIC; GRANT CREATE ON SCHEMA public TO pages');
page('c7', q{CREATE FUNCTION leak(text) RETURNS boolean COST 0.0001 LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'leak %', $1; RETURN true; END$$});
my (undef, $warned) = psql_as('pages', q{SET saas.tenant = 'c7'; SELECT name FROM saas.my_endpoints WHERE leak(url)});
is(join(' ', sort $warned =~ m{leak \S+(/c\d+/)}g), '/c7/ /c7/', 'nor does a function that tells what it is given');
foreach my $function (split /\n/, query($node, q{SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'saas'::regnamespace}))
{
    is(query($node, "SELECT has_function_privilege('nobody', '$function', 'EXECUTE')"), 'f', "$function is not anybody's");
}

# ---------------------------------------------------------------------
# A customer's own affairs
# ---------------------------------------------------------------------
is(page('c7', q{SELECT saas.secret('orders')}), $secret{c7}, 'the secret');
$secret{new} = page('c7', q{SELECT saas.rotate_secret('orders')});
isnt($secret{new}, $secret{c7}, 'a new one');
is(page('c7', q{SELECT saas.secret('orders')}), $secret{new}, 'which is in force');
my $test = page('c7', q{SELECT saas.test('orders')});
ok(wait_until_sent($node), 'a test event is sent');
my ($tested) = grep { $_->{body} =~ /Webhook Test/ } $receiver->requests_to('/c7/orders');
is(scalar(my @both = split / /, $tested->{headers}{'webhook-signature'}), 2, 'signed with the new secret and the old one');
is(page('c7', "SELECT saas.replay('all', $own)"), 1, 'an event of its own is replayed');
ok(wait_until_sent($node), 'and sent');

page('c7', q{SELECT saas.rotate_secret('orders')}) foreach 1 .. 10;
page('c7', q{SELECT saas.test('orders')});
ok(wait_until_sent($node), 'after more changes of the secret');
($tested) = (grep { $_->{body} =~ /Webhook Test/ } $receiver->requests_to('/c7/orders'))[-1];
is(scalar(@both = split / /, $tested->{headers}{'webhook-signature'}), 8, 'all that are in force sign');

page('c7', q{SELECT saas.change_endpoint('all', enabled => false)});
is(backend(q{SELECT saas.send('c7', '{"type": "track", "event": "Cart Viewed"}')}), 0, 'an endpoint that is off gets nothing');
page('c7', q{SELECT saas.change_endpoint('all', enabled => true, url => '} . $receiver->url('/status/404') . q{', events => '{Cart Viewed}')});
is(backend(q{SELECT saas.send('c7', '{"type": "track", "event": "Other"}')}), 0, 'nor one that wants other events');
is(backend(q{SELECT saas.send('c7', '{"type": "track", "event": "Cart Viewed", "userId": "bob"}')}), 1, 'one that is on again does');
ok(wait_until_sent($node), 'but refuses it');
page('c7', q{SELECT saas.change_endpoint('all', '} . $receiver->url('/c7/all') . q{')});
is(page('c7', q{SELECT saas.replay_since('all', now() - interval '1 hour')}), 1, 'which is sent once more when its URL is right');
ok(wait_until_sent($node), 'and taken');
is(page('c7', q{SELECT outcome FROM saas.my_deliveries('all', count => 1)}), 'delivered', 'as its page shows');
page('c7', "SELECT saas.add_endpoint('e$_', 'http://127.0.0.1:1/')") foreach 1 .. 8;
like(error_of('c7', q{SELECT saas.add_endpoint('e9', 'http://127.0.0.1:1/')}), qr/ten endpoints/, 'there are ten at most');

# also if two are made at once
page('c7', q{SELECT saas.drop_endpoint('e8')});
my $first = do { local $ENV{PGUSER} = 'pages'; $node->background_psql('postgres') };
$first->query_safe(q{SET saas.tenant = 'c7'; BEGIN; SELECT saas.add_endpoint('e8', 'http://127.0.0.1:1/')});
like(error_of('c7', q{SET lock_timeout = '50ms'; SELECT saas.add_endpoint('e9', 'http://127.0.0.1:1/')}), qr/lock timeout/, 'the next one waits');
like(error_of('c8', q{SET lock_timeout = '50ms'; SELECT saas.add_endpoint('all', 'http://127.0.0.1:1/')}), qr/duplicate key/, 'and no other customer');
$first->query_safe('COMMIT');
$first->quit;
like(error_of('c7', q{SELECT saas.add_endpoint('e9', 'http://127.0.0.1:1/')}), qr/ten endpoints/, 'and is one too many');
# and under REPEATABLE READ, where the second one does not see the first
page('c7', q{SELECT saas.drop_endpoint('e8')});
$first = do { local $ENV{PGUSER} = 'pages'; $node->background_psql('postgres', on_error_stop => 0) };
$first->query_safe(q{SET saas.tenant = 'c7'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM saas.my_endpoints});
page('c7', q{SELECT saas.add_endpoint('e8', 'http://127.0.0.1:1/')});
$first->query(q{SELECT saas.add_endpoint('e9', 'http://127.0.0.1:1/')});
$first->query('COMMIT');
$first->quit;
is(page('c7', 'SELECT count(*) FROM saas.my_endpoints'), 10, 'there are no more either');
page('c7', "SELECT saas.drop_endpoint('e$_')") foreach 1 .. 8;
is(page('c7', 'SELECT count(*) FROM saas.my_endpoints'), 2, 'and fewer when they are dropped');

# A destination's number that was another's before shows nothing of it
query($node, q{INSERT INTO rswebhook.destination (name, url) VALUES ('was', 'http://127.0.0.1:1/')});
my $number = query($node, q{SELECT rswebhook.destination_id('was')});
query($node, qq{
    INSERT INTO rswebhook.delivery (slot, attempt, event_id, destination_id, started_at, duration, outcome)
        VALUES (rswebhook.ring_slot(now()), 1, 1, $number, now() - interval '1 s', '1 s', 'delivered');
    DELETE FROM rswebhook.destination WHERE name = 'was';
    SELECT setval('rswebhook.destination_id_seq', $number, false)});
page('c9', q{SELECT saas.add_endpoint('again', 'http://127.0.0.1:1/')});
is(query($node, q{SELECT rswebhook.destination_id('c9/again')}), $number, 'a number that is given again');
is(page('c9', q{SELECT count(*) FROM saas.my_deliveries('again')}), 0, "shows nothing of another's");

# ---------------------------------------------------------------------
# Usage
# ---------------------------------------------------------------------
is(backend(q{SELECT concat_ws(' ', attempts, delivered, given_up) FROM saas.usage WHERE tenant = 'c7'}), '8 7 1', 'what was sent for a customer today');
backend('SELECT saas.keep_usage()');
query($node, q{DELETE FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('c7/orders')});
backend('SELECT saas.keep_usage()');
is(page('c7', q{SELECT concat_ws(' ', attempts, delivered, given_up) FROM saas.my_usage}), '8 7 1', 'is kept when the deliveries have gone, and shown to it');
is(page('c8', q{SELECT concat_ws(' ', attempts, delivered, given_up) FROM saas.my_usage}), '2 2 0', 'each its own');

# ---------------------------------------------------------------------
# Erasing
# ---------------------------------------------------------------------
query($node, q{UPDATE rswebhook.destination SET method = 'GET' WHERE name = 'c8/all'});
backend(q{SELECT saas.send('c8', '{"type": "identify", "userId": "eve@example.com", "traits": {"phone": "555-0100"}}')});
backend(q{SELECT saas.send('c7', '{"type": "track", "event": "Cart Viewed", "userId": "eve@example.com"}')});
ok(wait_until_sent($node), 'a user of two customers');
page('c8', q{SELECT saas.change_endpoint('all', '} . $receiver->url('/until/erased/c8') . q{')});
backend(q{SELECT saas.send('c8', '{"type": "identify", "userId": "eve@example.com", "traits": {"phone": "555-0101"}}')});
backend(q{SELECT saas.send('c8', '{"type": "identify", "anonymousId": "eve@example.com", "traits": {"phone": "555-0102"}}')});
ok(wait_for('a request under way', sub { grep { $_->{target} =~ /555-0101/ } $receiver->requests }), 'one is under way, one waits behind it');
cmp_ok(backend(q{SELECT saas.erase_user('c8', 'eve@example.com')}), '>', 4, 'is erased');
is(stored('555-01') . stored('eve@example'), '0' . stored_of_c7(), 'nothing is left of it but with the other customer');
$receiver->switch('erased', '/status/200');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE request LIKE '%555-0101%'}, 1), 'what was under way is recorded');
is(backend(q{SELECT saas.erase_user('c8', 'eve@example.com')}), 1, 'and erased by a second call');
is(stored('555-01'), 0, 'nothing is left');
is(query($node, q{SELECT count(*) FROM rswebhook.queue}), 0, 'nothing is owed');
is(scalar(grep { $_->{target} =~ /555-0102/ } $receiver->requests), 0, 'and what waited was not sent');
page('c8', q{SELECT saas.change_endpoint('all', '} . $receiver->url('/c8/all') . q{')});
is(backend(q{SELECT saas.send('c8', '{"type": "track", "event": "x", "userId": "ann"}')}), 1, 'others go on');
ok(wait_until_sent($node), 'and are sent');

# ---------------------------------------------------------------------
# The last deliveries of one of many
# ---------------------------------------------------------------------
query($node, q{
    INSERT INTO rswebhook.delivery (slot, attempt, event_id, destination_id, started_at, duration, outcome)
        SELECT slot, 1, n, 1 + n % 90, now() - n * interval '1 s', '1 ms', 'delivered'
        FROM generate_series(1, 100000) n, (SELECT rswebhook.ring_slot(now()) AS slot) s;
    ANALYZE rswebhook.delivery});
my $read = query($node, q{EXPLAIN (ANALYZE, BUFFERS, FORMAT json, TIMING off)
    SELECT * FROM rswebhook.delivery v WHERE v.destination_id = 5 AND v.started_at < 'infinity' AND v.started_at >= '2020-01-01'
    ORDER BY v.started_at DESC LIMIT 50});
my ($pages) = map { $_->{'Shared Hit Blocks'} + $_->{'Shared Read Blocks'} } $json->decode($read)->[0]{Plan};
cmp_ok($pages, '<', 200, "the last deliveries of a destination are read with few pages ($pages)");
query($node, q{DELETE FROM rswebhook.delivery WHERE duration = '1 ms'});

# ---------------------------------------------------------------------
# A dump, and a restore
# ---------------------------------------------------------------------
my $connection = '-h ' . $node->host . ' -p ' . $node->port;
is(system("pg_dump $connection -Fc -f $place/dump postgres"), 0, 'a dump');
query($node, 'CREATE DATABASE restored');
is(system("pg_restore $connection --exit-on-error -d restored $place/dump"), 0, 'and its restore');
is(query($node, 'SELECT count(*) FROM saas.endpoint', 'restored'), 2 * $customers + 1, 'all endpoints are there');
is(page('c7', q{SELECT string_agg(name, ' ' ORDER BY name) FROM saas.my_endpoints}, 'restored'), 'all orders', 'a customer sees its own and no others');
is(page('c7', q{SELECT count(*) > 0 FROM saas.my_deliveries('all')}, 'restored'), 't', 'with its deliveries');
like(error_of('c7', $_, 'restored'), qr/permission denied/, "refused: $_")
  foreach 'SELECT * FROM rswebhook.destination', 'SELECT * FROM saas.endpoint', q{SELECT saas.send('c8', '{}')};
is(query($node, q{
        SELECT count(*) FROM pg_proc f WHERE pronamespace = 'saas'::regnamespace AND has_function_privilege('nobody', oid, 'EXECUTE')}, 'restored'), 0,
    'nothing is anybody\'s');
query($node, 'SELECT rswebhook_adopt()', 'restored');
$receiver->new_requests;
is(query($node, q{SET ROLE saas_app; SELECT saas.send('c7', '{"type": "track", "event": "Cart Viewed", "userId": "ann"}')}, 'restored'), 1, 'and is sent to');
ok(wait_until_sent($node, 'restored'), 'once it is adopted');
is(join(' ', map { $_->{target} } $receiver->new_requests), '/c7/all', 'its own endpoint');

$node->stop;
done_testing();

# As a customer's page, and as the application; what psql prints
sub page
{
    my ($tenant, $sql, $database) = @_;

    return page_as("'$tenant'", $sql, $database);
}

sub page_as
{
    my ($tenant, $sql, $database) = @_;
    my ($out, $err) = psql_as('pages', "SET saas.tenant = $tenant; $sql", $database);

    diag("$sql: $err") if $err =~ /ERROR/;
    return $out;
}

sub error_of
{
    my ($tenant, $sql, $database) = @_;

    return (psql_as('pages', "SET saas.tenant = '$tenant'; $sql", $database))[1];
}

sub backend
{
    my ($sql) = @_;
    my ($out, $err) = psql_as('backend', $sql);

    diag("$sql: $err") if $err =~ /ERROR/;
    return $out;
}

sub psql_as
{
    my ($role, $sql, $database) = @_;
    local $ENV{PGUSER} = $role;
    my (undef, $out, $err) = $node->psql($database // 'postgres', $sql);

    return ($out, $err);
}

# In how many rows of the extension's tables a text is
sub stored
{
    my ($text) = @_;

    return query($node, qq{
        SELECT (SELECT count(*) FROM rswebhook.event e WHERE e::text LIKE '%$text%') +
               (SELECT count(*) FROM rswebhook.delivery v WHERE v::text LIKE '%$text%')});
}

sub stored_of_c7
{
    return query($node, q{SELECT count(*) FROM rswebhook.event WHERE event ->> 'event' = 'Cart Viewed' AND event ->> 'userId' = 'eve@example.com'});
}
