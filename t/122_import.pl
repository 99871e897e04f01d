# An export of a RudderStack workspace is imported, with its connections, filters and
# consent: its destinations get what rswebhook_transform() says for their Configs, and
# nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Session;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $text = JSON::PP->new->allow_nonref;
my $receiver = new_receiver();
my $node = new_node('import', conf => "rswebhook.secret_sources = 'env:IMPORTED_'\n", start => 0);

$ENV{IMPORTED_KEY} = 'of the environment';
$node->start;
query($node, 'CREATE EXTENSION rswebhook');
await_workers($node);

my %webhook = (
    webhookUrl => $receiver->url('/webhook?k=1'),
    webhookMethod => 'POST',
    headers => [ { from => 'Authorization', to => 'Bearer s3cret-token' }, { from => 'X-Tenant', to => '{{ event.context.tenant || none }}' } ],
    consentManagement => { web => [ { provider => 'custom', resolutionStrategy => 'and', consents => [ { consent => 'ads' } ] } ] });
my %params = (
    webhookUrl => $receiver->url('/params'),
    webhookMethod => 'GET',
    headers => [ { from => 'X-Key', to => 'env.IMPORTED_KEY' } ],
    oneTrustCookieCategories => { web => [ { oneTrustCookieCategory => 'C2' } ] });
my %http = (
    apiUrl => $receiver->url('/http'),
    auth => 'basicAuth', username => 'user', password => 's3cret-pass',
    method => 'PUT', format => 'JSON', isDefaultMapping => JSON::PP::false,
    propertiesMapping => [ { to => '$.order.id', from => '$.properties.id' }, { to => '$.kind', from => 'order' } ],
    headers => [ { to => 'X-User', from => '$.userId' }, { to => 'X-Fixed', from => 'fixed' } ],
    queryParams => [ { to => 'name', from => '$.event' } ],
    pathParams => [ { path => 'users' }, { path => '$.userId' } ],
    eventFilteringOption => 'whitelistedEvents', whitelistedEvents => [ { eventName => 'Paid' } ],
    blacklistedEvents => [ { eventName => '' } ]);
my %whole = (
    apiUrl => $receiver->url('/whole'),
    auth => 'apiKeyAuth', apiKeyName => 'X-Api-Key', apiKeyValue => 's3cret-key',
    method => 'POST', format => 'FORM', isDefaultMapping => JSON::PP::true,
    eventFilteringOption => 'blacklistedEvents', blacklistedEvents => [ { eventName => 'Noise' } ]);
my %configs = (webhook => \%webhook, params => \%params, http => \%http, whole => \%whole);

my $export = $json->encode([
        { sources => [ { id => 's', name => 'Site', type => 'Javascript', enabled => JSON::PP::true } ], paging => { total => 1 } },
        { destinations => [
                map({ { id => "id-$_", name => $_, type => $_ =~ /http|whole/ ? 'HTTP' : 'WEBHOOK', enabled => JSON::PP::true,
                        config => $configs{$_}, createdAt => '2024-05-01T00:00:00.000Z' } } sort keys %configs),
                { id => 'id-off', name => 'off', type => 'WEBHOOK', enabled => JSON::PP::false, config => { webhookUrl => $receiver->url('/off') } },
                { id => 'id-apart', name => 'apart', type => 'WEBHOOK', enabled => JSON::PP::true, config => { webhookUrl => $receiver->url('/apart') } },
                { id => 'id-s3', name => 'lake', type => 'S3', enabled => JSON::PP::true, config => { accessKey => 's3cret' } } ],
            paging => { total => 7 } },
        { connections => [ map { { id => "c-$_", sourceId => 's', destinationId => "id-$_", enabled => JSON::PP::true } } sort(keys %configs), 'off', 's3' ],
            paging => { total => 6 } } ]);

# In rows, as psql shows them
my %said = map { $_->{name} => $_ } query_rows($node, 'SELECT * FROM rswebhook_import(' . literal($export) . ')');
is(join(' ', sort grep { $said{$_}{id} } keys %said), 'apart http off params webhook whole', 'all of both kinds are imported');
is($said{webhook}{not_mapped}, undef, 'of which nothing is missing');
like($said{lake}{not_mapped}, qr/^Left out: its type is "S3"/, 'and the other one is said to be left out');
unlike($json->encode(\%said), qr/s3cret/, 'without a secret');
is(query($node, q{SELECT string_agg(name, ' ' ORDER BY name) FROM rswebhook.destination WHERE NOT enabled}), 'apart off',
    'what no source sends to is not enabled, nor is what was disabled');

# Each event, and who gets it
my @events = (
    [ { type => 'track', event => 'Paid', userId => 'u 1', anonymousId => 'a', context => { tenant => 'acme' }, properties => { id => 17, tags => [ 'x', undef ], none => undef } },
        'http params webhook whole' ],
    [ { type => 'track', event => 'Noise', userId => 'u2', properties => { id => 18 } }, 'params webhook' ],
    [ { type => 'track', event => 'Other', userId => 'u2', properties => { id => 19 } }, 'params webhook whole' ],
    [ { type => 'identify', userId => 'u3', traits => { name => "D\x{f6}rte" } }, 'http params webhook whole' ],
    [ { type => 'track', event => 'Paid', userId => 'u4', properties => { id => 20 }, context => { consentManagement => { provider => 'custom', deniedConsentIds => ['ads'] } } },
        'http params whole' ],
    [ { type => 'track', event => 'Paid', userId => 'u5', properties => { id => 21 }, context => { consentManagement => { provider => 'oneTrust', deniedConsentIds => [ 'C2', 'ads' ] } } },
        'http webhook whole' ]);
my $arrived = 0;

foreach my $case (@events)
{
    my ($event, $takers) = @$case;
    my $what = "$event->{type} of $event->{userId}";
    my $id = send_event($node, $event);

    ok(wait_until_sent($node), "$what is sent");
    my @requests = $receiver->requests;
    my %got = map { $_->{target} =~ m{^/(\w+)} ? ($1 => $_) : () } @requests[ $arrived .. $#requests ];
    is($#requests - $arrived + 1, scalar(keys %got), 'once to each');
    $arrived = @requests;
    is(join(' ', sort keys %got), $takers, 'and to those that take it');
    compare($event, $configs{$_}, $got{$_}, $_) foreach sort keys %got;
}
is((query_rows($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered'}))[0]{count}, 0, 'all was delivered');

# The same again: the rows are as they were, and what is set by hand stays
query($node, q{UPDATE rswebhook.destination SET max_in_flight = 3, paused = true WHERE name = 'webhook'});
my $before = rows();
is(query($node, 'SELECT count(id) FROM rswebhook_import(' . literal($export) . ')'), 6, 'imported once more');
is(rows(), $before, 'it changes nothing');
query($node, q{UPDATE rswebhook.destination SET paused = false});

# What has changed there changes here, and reaches what is still owed
$webhook{webhookUrl} = $receiver->url('/moved');
query($node, 'SELECT * FROM rswebhook_import(' . literal($json->encode({ destination => { name => 'webhook', type => 'WEBHOOK', config => \%webhook } })) . ')');
send_event($node, { type => 'track', event => 'Paid', userId => 'u6' }, 'webhook');
ok(wait_until_sent($node), 'sent after a change');
is(scalar($receiver->requests_to('/moved')), 1, 'it goes where it says now');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/s3cret/, 'no secret is in the log');

# Two at once, of one id under two names: the second one finds what the first one made
my $first = Session->new($node);
my $second = Session->new($node);
my %twin = (id => 'twin', type => 'WEBHOOK', config => { webhookUrl => $receiver->url('/twin') });

$first->query('BEGIN');
$first->query('SELECT * FROM rswebhook_import(' . literal($json->encode({ %twin, name => 'one' })) . ')');
$second->start('SELECT name, id IS NOT NULL, not_mapped FROM rswebhook_import(' . literal($json->encode({ %twin, name => 'two' })) . ')');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rswebhook.imported'::regclass}, '1'), 'it waits for the first one');
$first->query('COMMIT');
is($second->finish, 'one|t|It was imported before, as "one" here, and that is the one that was changed. To call it "two", rename it.',
    'the second one is told');
is(query($node, q{SELECT count(*) FROM rswebhook.imported WHERE rudderstack_id = 'twin'}), '1', 'and there is one of them');
$first->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rswebhook.imported');
query($node, 'SELECT * FROM rswebhook_import(' . literal($json->encode({ %twin, id => 'twin 2', name => 'two' })) . ')');
is($first->query('SELECT id IS NULL, not_mapped FROM rswebhook_import(' . literal($json->encode({ %twin, id => 'twin 2', name => 'three' })) . ')'),
    't|Not imported. It was imported by another transaction meanwhile: import it again in a new one', 'also where it cannot see that');
$first->query('ROLLBACK');
is(query($node, q{SELECT count(*) FROM rswebhook.destination WHERE name IN ('one', 'two', 'three')}), '2', 'no event arrives twice');
$_->close foreach $first, $second;

$node->stop;
done_testing();

sub literal
{
    my ($text) = @_;

    return "\$json\$$text\$json\$";
}

sub rows
{
    return query($node, q{SELECT md5(string_agg(d::text || d.xmin, ' ' ORDER BY d.id)) FROM rswebhook.destination d});
}

# What came, and what the Config stands for
sub compare
{
    my ($event, $config, $request, $what) = @_;
    my ($message, $given) = map { literal($json->encode($_)) . '::jsonb' } $event, $config;
    my ($expected) = query_rows($node, "SELECT rswebhook_transform($message, $given) AS request, rswebhook.wire($message, $given) AS wire");
    my ($request_of, $wire) = @$expected{qw(request wire)};

    is($request->{method}, $request_of->{method}, "$what: the method");
    is('http://127.0.0.1:' . $receiver->port . $request->{target}, $wire->{url}, 'the URL');
    foreach my $name (sort keys %{ $request_of->{headers} })
    {
        my $value = $request_of->{headers}{$name};

        $value = $ENV{ $1 } if $value =~ /^env\.(\w+)$/;
        is($request->{headers}{ lc $name }, $value, "the header $name");
    }
    if (%{ $request_of->{body}{JSON} // {} })
    {
        is($json->encode($text->decode($request->{body})), $json->encode($request_of->{body}{JSON}), 'the body');
    }
    else
    {
        is($request->{body}, $wire->{body} // '', 'the body, as text');
    }
    return;
}
