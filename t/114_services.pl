# The examples for Slack, Discord, Teams and PagerDuty, sent to receivers that check them as
# those services document, which is also shown to refuse what they would.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Services;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('services');
my %hosts = (
    slack => 'https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX',
    discord => 'https://discord.com/api/webhooks/000000000000000000/XXXXXXXX',
    teams => 'https://prod-00.westeurope.logic.azure.com/workflows/XXXXXXXX/triggers/manual/paths/invoke',
    pagerduty => 'https://events.pagerduty.com/v2/enqueue');

my $sql = do { local (@ARGV, $/) = (source_dir() . '/examples/services.sql'); <> };
foreach my $service (sort keys %hosts)
{
    my $url = $receiver->url("/as/$service");
    is($sql =~ s/\Q$hosts{$service}\E/$url/g, 1, "$service: its URL is in the example");
}
query($node, $sql);
query($node, q{UPDATE rswebhook.destination SET min_attempts = 1, retry_window = '0'});

my %order = (
    type => 'track', event => 'Order Placed', userId => 'ann', timestamp => '2026-01-31T12:00:00.000Z', messageId => 'order',
    properties => { title => "Order 17 of Ann \x{e9}\x{1f600}", items => [ { name => 'Boots', price => '60.50 EUR' }, { name => 'Laces', price => '2 EUR' } ] });
my %check = (
    type => 'track', event => 'Check Failed', userId => 'cron', messageId => 'check',
    properties => { check => 'disk', summary => 'Disk is full', host => 'db1', free => 0 });

query($node, sprintf 'SELECT rswebhook_send(%s)', RswebhookTest::quote_literal(JSON::PP->new->ascii->encode($_))) foreach \%order, \%check;
ok(wait_until_sent($node), 'all are sent');
is(query($node, q{SELECT string_agg(concat_ws(' ', name, outcome, status, v.error), ', ' ORDER BY name)
        FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id}),
    'discord delivered 204, pagerduty delivered 202, slack delivered 200, teams delivered 202', 'and each service takes what is for it');

my %body = map { $_->{target} =~ m{/as/(\w+)} ? ($1 => JSON::PP->new->decode($_->{body})) : () } $receiver->requests;
is_deeply($body{slack}, {
        text => 'An order was placed',
        blocks => [
            { type => 'header', text => { type => 'plain_text', text => $order{properties}{title} } },
            { type => 'section', fields => [ { type => 'plain_text', text => 'Boots' }, { type => 'plain_text', text => 'Laces' } ] } ] }, "Slack's body");
is_deeply($body{discord}{embeds}[0]{fields}, [ { name => 'Boots', value => '60.50 EUR' }, { name => 'Laces', value => '2 EUR' } ], "Discord's fields");
is($body{discord}{embeds}[0]{title}, $order{properties}{title}, 'and its title, of any script');
is($body{teams}{attachments}[0]{content}{'$schema'}, 'http://adaptivecards.io/schemas/adaptive-card.json', "Teams' card");
is($body{pagerduty}{payload}{severity}, 'error', "PagerDuty's severity, where the event has none");

# They take an order whatever is in it, and prices that are numbers
my @items = ({ name => 'Boots', price => 60.5 }, { name => 'Laces', price => 2 });
my %values = (
    null => undef, blank => " \n\t", empty => '', number => 5.25, true => JSON::PP::true, long => "\x{e9}" x 2000, longest => 'x' x 200_000,
    markup => '<!channel> & <b>@everyone</b> &amp;', quoted => qq("\\ \x{1f600}), list => ['a'], lists => [ [ 'a', 'b' ], 'c' ], twice => [ 'error', 'info' ], object => { a => 1 }, path => '$.a', lines => "a\nb");
my %properties = (
    none => {}, no_list => { items => undef }, one => { items => [ $items[0] ] }, two => { title => 'Order', items => \@items },
    bare => { items => [ {}, { name => 'Laces' } ] }, text => { items => 'x' }, odd => { items => [ undef, 'x', 5, [], [ ['y'] ], {} ] },
    nested => { items => [ [ map { { name => "Item $_", price => $_ } } 1 .. 30 ] ] }, paired => { items => [ { name => [ 'A', 'Z' ], price => 1 }, { name => 'B', price => 2 }, { price => 3 }, { name => 'D' } ] },
    several => [ map { { title => "Order $_", items => [ (@items) x 9 ] } } 1 .. 3 ],
    (map { ("list of $_" => { title => 'Order', items => [ map { { name => "Item $_", price => $_ } } 1 .. $_ ] }) } 0, 10, 11, 100),
    'long list' => { title => 'x' x 150, items => [ map { { name => "\x{1f600}" x 300, price => '9' x 400 } } 1 .. 100 ] },
    'longest texts' => { title => "\x{1f600}" x 130, items => [ map { { name => "\x{1f600}" x 199, price => '9' x 49 } } 1 .. 100 ] },
    map { my $value = $values{$_}; ("title $_" => { title => $value, items => [ { name => 'Boots' } ] },
            "item $_" => { items => [ { name => 'Boots', price => 1 }, { name => $value, price => $value } ] },
            "items $_" => { items => $value }, "checked $_" => { check => $value, summary => $value, host => $value, severity => $value }) } keys %values);

foreach my $what (sort keys %properties)
{
    my ($kind) = $what =~ /(\w+)$/;
    my %event = (%order, messageId => $what, properties => $properties{$what}, timestamp => exists $values{$kind} ? $values{$kind} : '2026-02-30T25:00:00Z');

    query($node, sprintf 'SELECT rswebhook_send(%1$s), rswebhook_send(jsonb_set(%1$s, %2$s, %3$s))',
        RswebhookTest::quote_literal(JSON::PP->new->ascii->encode(\%event)), q('{event}'), q('"Check Failed"'));
}
# and one that has nothing, sent by name
query($node, q{SELECT rswebhook_send(event, name) FROM rswebhook.destination, unnest(ARRAY['{}', '{"properties": null}', '{"properties": [[]], "timestamp": 5}']::jsonb[]) AS event});
ok(wait_until_sent($node), 'orders of all kinds are sent');
is(query($node, q{SELECT string_agg(DISTINCT concat_ws(' ', d.name, e.event::jsonb ->> 'messageId', v.status, v.response_body, v.error), E'\n')
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = event_id JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE outcome <> 'delivered'}), '', 'and each is taken');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery}), 4 + 4 * keys(%properties) + 12, 'by all of them');
my %fields = map { my $sent = JSON::PP->new->decode($_->{body}); scalar(@{ $sent->{blocks}[1]{fields} }) => 1 } grep { $_->{target} =~ m{/as/slack} } $receiver->requests;
is(join(' ', sort { $a <=> $b } keys %fields), '1 2 3 10', 'with as many as there are, up to ten');
my ($two) = grep { $_->{target} =~ m{/as/teams} && $_->{body} =~ /60\.5/ && $_->{body} =~ /Laces/ && $_->{body} !~ /EUR/ } $receiver->requests;
is_deeply(JSON::PP->new->decode($two->{body})->{attachments}[0]{content}{body}[1]{facts},
    [ { title => 'Boots', value => '60.5' }, { title => 'Laces', value => '2' } ], 'with nothing but what is in it');

my ($paired) = grep { $_->{target} =~ m{/as/discord} && $_->{body} =~ /"B"/ } $receiver->requests;
is_deeply(JSON::PP->new->decode($paired->{body})->{embeds}[0]{fields},
    [ { name => 'B', value => '2' }, { name => '-', value => '3' }, { name => 'D', value => '-' } ], 'and each price stands beside its name');

# A key of PagerDuty's is a secret that an answer may repeat
is(query($node, q{SELECT bool_or(response_body LIKE '%0123456789abcdef%') FROM rswebhook.delivery}), 'f', 'no key in what was answered');

# What they would refuse, these refuse as well: the bodies of the one are none for another
foreach my $service (sort keys %hosts)
{
    foreach my $other (grep { $_ ne $service } sort keys %body)
    {
        is((Services::answer($service, 'POST', 'application/json', JSON::PP->new->utf8->encode($body{$other})))[0],
            400, "$service does not take what is for $other");
    }
    is((Services::answer($service, 'POST', 'application/x-www-form-urlencoded', '{}'))[0], 400, "$service takes no form");
    is((Services::answer($service, 'POST', 'application/json', '{}'))[0], 400, "$service takes nothing empty");
}
my ($status, $why) = Services::answer('slack', 'POST', 'application/json', '{"text": 5}');
is("$status $why", '400 no_text', 'Slack: a text is a string');
($status, $why) = Services::answer('slack', 'POST', 'application/json', '{"blocks": [{"type": "section", "fields": [{"type": "mrkdwn"}]}]}');
is("$status $why", '400 invalid_blocks', 'Slack: a block is whole');

# An event that does not go with a mapping is aborted at once, with its name
$order{properties}{items}[0]{name} = 5;
query($node, q{UPDATE rswebhook.destination SET header_mapping = '[{"to": "X-Name", "from": "$.properties.items[0].name"}]' WHERE name = 'slack'});
send_event($node, { %order, messageId => 'bad' }, 'slack');
ok(wait_until_sent($node), 'one that is none is over');
is(query($node, q{SELECT outcome || ' ' || error FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1}),
    'aborted a header cannot be made: header "X-Name" is not a string but a number', 'and the error says why');

done_testing();
