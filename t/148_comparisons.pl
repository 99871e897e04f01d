# A jsonpath compares each value that one operand finds with each of the other's in one
# step, which nothing interrupts: what would take long is not begun, in any encoding, and
# nobody else's events wait for it.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('comparisons', extension => 0);

# Lists of so many: numbers that differ at the end, strings that do, and others
my $values = q{
    CREATE TABLE given (kind text, event jsonb);
    CREATE FUNCTION list(value text, count int) RETURNS jsonb LANGUAGE sql RETURN
        (SELECT jsonb_agg(replace(value, '#', (10000 + n)::text)::jsonb) FROM generate_series(1, count) AS n);
    INSERT INTO given
    SELECT kind, jsonb_build_object('type', 'track', 'userId', 'u', 'a', list(a, count), 'b', list(b, count), 'n', 1)
    FROM (VALUES
        ('numbers', repeat('9', 480) || '#', repeat('9', 480) || '10000', 1999),
        ('short', '#', '5', 20000),
        ('accents', '"' || repeat('é', 200) || '#"', '"' || repeat('é', 200) || '"', 1900),
        ('strings', '"' || repeat('x', 15) || '#"', '"' || repeat('x', 15) || 'y"', 12000),
        ('objects', '{}', '{}', 20000),
        ('ids', '"' || repeat('x', 15) || '#"', '"' || repeat('x', 15) || '90000"', 1000),
        ('items', '{"x": #, "y": 1}', '1', 1000),
        ('sold', '{"sku": "#", "name": "a thing", "brand": "b", "price": "#", "reduced": "0#", "n": 1, "shop": {"id": #}}', '1', 2000),
        ('lists', '[[{"x": [1, 2], "y": 3}]]', '1', 2000),
        ('text', '"#"', '"' || repeat('x', 300) || '"', 1900),
        ('few', '"#"', '"90000"', 300)) AS of (kind, a, b, count);
    INSERT INTO given
    SELECT 'listed', jsonb_build_object('type', 'track', 'userId', 'u', 'a', jsonb_build_array(jsonb_build_array(0, event -> 'a')))
    FROM given WHERE kind = 'items';
    INSERT INTO given
    SELECT 'long', jsonb_build_object('type', 'track', 'userId', 'u', 'a', event -> 'a', 'b', repeat('x', 100000))
    FROM given WHERE kind = 'text';
    INSERT INTO given
    SELECT 'keyed', jsonb_build_object('type', 'track', 'userId', 'u', 'b', jsonb_build_object(repeat('x', 100000), 1))};

my @too_long = (
    [ '$.a[*] < $.b[*]', 'numbers' ],
    [ '$.a[*] < $.b[*]', 'strings' ],
    [ '$.a[*] == $.b[*]', 'objects' ],
    [ '$ ? (@.a[*] == @.b[*]).n == 2', 'strings' ],
    [ '$ ? (@.a[*] == @.a[*]).n == 2', 'items' ],
    [ '$.** ? (@.a[*] == @.b[*]).n == 2', 'strings' ],
    [ '$.a[*] ? (@.x == @.y).x == 3', 'listed' ],
    [ 'strict $ ? (@.a[*] == @.b[*]).n == 2', 'strings' ],
    [ '$ ? (exists(@.n ? (@ < 2)) && @.a[*] == @.b[*]).n == 2', 'strings' ],
    [ '$ ? (-(@.a)[*] == -(-@.b)).n == 2', 'short' ],
    [ '-$.a[*] == -$.b[*]', 'short' ],
    [ '+$.a[*] == (-(-$.b))[*]', 'short' ],
    [ '$.a[0 to last] == $.b[0 to last]', 'strings' ],
    [ '$.a[*][0, 0, 0, 0, 0, 0][0, 0, 0, 0, 0, 0] == $.b[*][0, 0, 0, 0, 0, 0]', 'few' ],
    [ '"x"[0, 0, 0, 0, 0, 0, 0, 0, 0, 0][0, 0, 0, 0, 0, 0, 0, 0, 0, 0][0, 0, 0, 0, 0, 0, 0, 0, 0, 0] == $.a[*]', 'short' ],
    [ '$.keyvalue().keyvalue().keyvalue().value == $.a[*]', 'strings' ]);
my @in_time = (
    [ '$.a[*] == $.b[*]', 'ids' ],
    [ '$.a[*] < $.b[*]', 'few' ],
    [ '$.a[*] == "x"', 'strings' ],
    [ '$.a[*] == 3', 'short' ],
    [ '$.n == 2', 'objects' ],
    [ '$.a[*] ? (@.x == @.y).x == 3', 'items' ],
    [ 'exists($.a[*] ? (@.reduced < @.price))', 'sold' ],
    [ 'exists($.a[*] ? (@.reduced < @.price && @.shop.id > @.n && @.name != @.brand))', 'sold' ],
    [ 'exists($.** ? (@.reduced < @.price))', 'sold' ],
    [ 'strict exists($.a[*] ? (@.reduced < @.price))', 'sold' ],
    [ 'exists($.a[*] ? (@ > $.n))', 'short' ],
    [ 'exists($.a[*] ? (@ starts with "x" || @ == $.b[0]))', 'text' ],
    [ '$.a == $.a', 'sold' ],
    [ 'exists($.a[*] ? (@.x < @.y))', 'lists' ],
    [ '$.a[*].x == $.a[*].y', 'items' ],
    [ '$.n == $.n && $.a[0] == $.b[0]', 'short' ]);
my %only = (
    UTF8 => { too_long => [], in_time => [ [ '$.a[*] > $.b[*]', 'ids' ] ] },
    LATIN1 => {
        too_long => [ [ '$.a[*] > $.b[*]', 'accents' ], [ '$.a[*] != $.b[*]', 'ids' ], [ 'exists($.b ? (@ < $.a[*]))', 'long' ], [ '$.a[*] > "' . 'é' x 7900 . '"', 'strings' ] ],
        in_time => [] });

# Each filter's error, or that there is none
sub errors_of
{
    my ($cases, $database) = @_;
    my @rows;

    foreach my $case (@$cases)
    {
        my ($path, $kind) = @$case;
        my $out = query($node, qq{
            SET client_encoding = 'UTF8';
            DELETE FROM rswebhook.destination WHERE name = 'd';
            INSERT INTO rswebhook.destination (name, url, paused, filter) VALUES ('d', 'http://127.0.0.1:1/', true, \$path\$$path\$path\$);
            SELECT count(rswebhook_send(event)) FROM given WHERE kind = '$kind';
            SELECT 'error: ' || coalesce(string_agg(last, ' '), '') FROM rswebhook.filter_errors() f
            JOIN rswebhook.destination d ON d.id = f.destination_id WHERE name = 'd' }, $database);
        push @rows, substr("$kind $path", 0, 90) . ': ' . (split /\n/, $out)[-1] =~ s/^error: //r;
    }
    return @rows;
}

foreach my $encoding (sort keys %only)
{
    my $database = lc $encoding;

    query($node, "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
    query($node, 'CREATE EXTENSION rswebhook', $database);
    query($node, "SET client_encoding = 'UTF8'; $values", $database);
    my @cases = (@too_long, @{ $only{$encoding}{too_long} });
    my @wrong = grep { !/: it compares lists that are too long together, of up to \d+ and \d+ values of the event$/ } errors_of(\@cases, $database);
    is(join("\n", @wrong), '', "$encoding: what would take too long is an error");
    @cases = (@in_time, @{ $only{$encoding}{in_time} });
    @wrong = grep { /: it compares lists/ } errors_of(\@cases, $database);
    is(join("\n", @wrong), '', "$encoding: and what does not is compared");

    # A time is read for as long as its template and the text are together
    my $long = '$.b.datetime("' . 'J' x 7900 . '")';
    @wrong = grep { !/: it reads a time by a template of 7900 bytes, and the event has a text that is too long for that$/ }
      errors_of([ [ "exists($long)", 'long' ], [ "exists(\$.a[*] ? (\@ < \$.n).datetime() ? (\@ < $long))", 'long' ],
        [ 'exists($.b.keyvalue().key.datetime("' . 'J' x 7900 . '"))', 'keyed' ] ], $database);
    is(join("\n", @wrong), '', "$encoding: nor is a time read for long");
    @wrong = grep { /: it reads a time/ } errors_of([ [ 'exists($.b.datetime("YYYY-MM-DD"))', 'long' ], [ 'exists($.b.datetime())', 'long' ],
        [ "exists($long)", 'few' ] ], $database);
    is(join("\n", @wrong), '', "$encoding: but where it is not long");

    # A worker does not try for seconds, and not again
    query($node, q{DELETE FROM rswebhook.destination}, $database);
    add_destination($node, 'mapped', $receiver->url("/ok/$database/mapped"),
        { max_in_flight => 1, body_mapping => '[{"to": "$.x", "from": "$ ? (@.a[*] < @.b[*])"}]' }, $database);
    add_destination($node, 'good', $receiver->url("/ok/$database/good"), {}, $database);
    query($node, q{
        SELECT rswebhook_send(event, 'mapped') FROM given, generate_series(1, 5) WHERE kind = 'numbers';
        SELECT rswebhook_send('{}', 'good') FROM generate_series(1, 20)}, $database);
    wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE destination_id IN (SELECT id FROM rswebhook.destination)}, '25', undef, $database);
    is(query($node, q{
            SELECT string_agg(format('%s %s %s', n, outcome, error), ', ' ORDER BY n)
            FROM (SELECT count(*) AS n, outcome, regexp_replace(error, 'of up to .*', '...') AS error FROM rswebhook.delivery
                WHERE destination_id IN (SELECT id FROM rswebhook.destination) GROUP BY outcome, error) AS of}, $database),
        '5 aborted "$.x" of the body cannot be made of "$ ? (@.a[*] < @.b[*])": it compares lists that are too long together, ..., 20 delivered ',
        "$encoding: a mapping that would aborts its event, at the first attempt");

    # The reason is said whatever the path's length
    add_destination($node, 'timed', $receiver->url("/ok/$database/timed"),
        { body_mapping => qq{[{"to": "\$.x", "from": "\$.b.datetime(\\"@{[ 'J' x 7900 ]}\\")"}]} }, $database);
    query($node, q{SELECT rswebhook_send(event, 'timed') FROM given WHERE kind = 'long'}, $database);
    wait_for_query($node, q{SELECT error FROM rswebhook.delivery JOIN rswebhook.destination d ON d.id = destination_id WHERE name = 'timed'},
        '"$.x" of the body cannot be made of "$.b.datetime("' . 'J' x 86 . '...": '
          . 'it reads a time by a template of 7900 bytes, and the event has a text that is too long for that', undef, $database);
}

done_testing();
