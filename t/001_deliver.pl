# The three sample events by the five methods: what arrives, and what is
# written down about it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Test::More;

my @methods = qw(POST PUT PATCH GET DELETE);
my @samples = samples();
my $receiver = new_receiver();
my $node = new_node('deliver');

add_destination($node, 'to_' . lc $_, $receiver->url("/ok/$_?source=pg&a=1"), { method => $_ })
  foreach @methods;

# One transaction, every destination.
my $literal = JSON::PP->new->ascii->encode(\@samples);
query($node, qq{
    SELECT rswebhook_send(event)
    FROM jsonb_array_elements('$literal') WITH ORDINALITY AS e (event, n)
    ORDER BY n});
ok(wait_until_sent($node), 'nothing is owed any more');

my @requests = $receiver->requests;
is(scalar @requests, 15, 'fifteen requests arrived');

foreach my $method (@methods)
{
    my @arrived = $receiver->requests_to("/ok/$method");
    my %by_id = map { $_->{headers}{'webhook-id'} // '' => $_ } @arrived;

    is(scalar @arrived, 3, "$method: three requests");
    foreach my $sample (@samples)
    {
        my $what = "$method $sample->{type}";
        my $request = $by_id{ $sample->{messageId} };

        ok($request, "$what: webhook-id is the messageId") or next;
        is($request->{method}, $method, "$what: method");
        is($request->{headers}{'user-agent'}, 'RudderLabs', "$what: user-agent");
        if ($method eq 'GET' || $method eq 'DELETE')
        {
            is($request->{target}, "/ok/$method?" . expected_query($sample), "$what: query");
            is($request->{body}, '', "$what: no body");
            is($request->{headers}{'content-type'}, undef, "$what: no content-type");
        }
        else
        {
            is($request->{target}, "/ok/$method?a=1&source=pg", "$what: query");
            is_deeply(JSON::PP->new->decode($request->{body}), $sample, "$what: body");
            is($request->{headers}{'content-type'}, 'application/json', "$what: content-type");
        }
    }

    my @of_one_user = grep { $_->{headers}{'webhook-id'} ne $samples[1]{messageId} } @arrived;
    is($of_one_user[0]{headers}{'webhook-id'},
        $samples[0]{messageId}, "$method: one user's events keep their order");
}

is(query($node, q{
        SELECT count(*), count(DISTINCT (event_id, destination_id)),
               count(*) FILTER (WHERE outcome = 'delivered' AND status = 200
                                AND attempt = 1 AND error IS NULL AND retry_at IS NULL),
               count(*) FILTER (WHERE duration BETWEEN interval '1 us' AND interval '10 s'
                                AND started_at BETWEEN now() - interval '10 min' AND now())
        FROM rswebhook.delivery}),
    '15|15|15|15', 'fifteen delivery rows, one for each event and destination');
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS v
        JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE v.request LIKE d.method || ' http://127.0.0.1:%/ok/' || d.method || '%'}),
    '15', 'each row names its request');
unlike(query($node, 'SELECT string_agg(request, chr(10)) FROM rswebhook.delivery'),
    qr/source=pg/, 'values of the URL\'s own query are not written down');
is(query($node, 'SELECT count(*) FROM rswebhook.event'), '3', 'each payload is kept once');

# What rolls back was never sent; a savepoint is a transaction of its own.
my %marker = (type => 'track', userId => 'u', event => 'Marker', messageId => 'marker');
query($node, q{
    BEGIN;
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "gone-1"}', 'to_post');
    ROLLBACK;
    BEGIN;
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "kept"}', 'to_post');
    SAVEPOINT s;
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "gone-2"}', 'to_post');
    ROLLBACK TO s;
    COMMIT;});
send_event($node, \%marker, 'to_post');
ok(wait_until_sent($node), 'nothing is owed any more');
is(join(' ', map { $_->{headers}{'webhook-id'} } ($receiver->requests)[ 15 .. $receiver->requests - 1 ]),
    'kept marker', 'what rolled back is never sent');

done_testing();

# The query of a GET or DELETE, worked out from the description rather than
# from the code.
sub expected_query
{
    my ($event) = @_;
    my %params = (a => '1', source => 'pg');
    my $values =
        $event->{type} eq 'identify'
      ? $event->{traits} // $event->{context}{traits}
      : $event->{properties};

    flatten($values, '', \%params);
    return join '&', map { encoded($_) . '=' . encoded($params{$_}) } sort keys %params;
}

sub flatten
{
    my ($value, $path, $out) = @_;

    if (ref $value eq 'HASH')
    {
        flatten($value->{$_}, $path eq '' ? $_ : "$path.$_", $out) foreach keys %$value;
    }
    else
    {
        $out->{$path} = $value;
    }
    return;
}

sub encoded
{
    my ($text) = @_;

    $text =~ s/([^A-Za-z0-9_.~ -])/sprintf '%%%02X', ord $1/ge;
    return $text =~ tr/ /+/r;
}
