# Answers in any bytes, written down by databases in any encoding, and the body
# that these send, which is UTF-8 all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('encodings', extension => 0);

# encoding => what becomes of Latin-1, of UTF-8, of bytes that are neither
my %kept = (
    UTF8 => [ 'gr\xfcn', "gr\x{fc}n", '\xff\x00\xc3(' ],
    LATIN1 => [ 'gr\xfcn', 'gr\xc3\xbcn', '\xff\x00\xc3(' ],
    SQL_ASCII => [ 'gr\xfcn', 'gr\xc3\xbcn', '\xff\x00\xc3(' ],
    EUC_JP => [ 'gr\xfcn', 'gr\xc3\xbcn', '\xff\x00\xc3(' ]);
my @answers = ('gr%fcn', 'gr%c3%bcn', '%ff%00%c3(');

foreach my $encoding (sort keys %kept)
{
    my $database = lc $encoding;

    query($node, "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
    query($node, 'CREATE EXTENSION rswebhook', $database);
    foreach my $i (0 .. $#answers)
    {
        add_destination($node, "answers $i", $receiver->url("/text/404/$answers[$i]/$database"), {}, $database);
    }

    # as the client's encoding, so that every database gets the same characters
    my @ids;
    foreach my $i (0 .. $#answers)
    {
        push @ids, query($node, qq{
            SET client_encoding = 'UTF8';
            SELECT rswebhook_send(json_build_object('type', 'track', 'userId', 'u', 'event', 'x')::jsonb
                || '{"properties": {"a": "\\u00e9"}}', 'answers $i')}, $database)
          if $encoding eq 'UTF8' || $encoding eq 'LATIN1';
        push @ids, query($node, qq{
            SELECT rswebhook_send('{"type": "track", "userId": "u"}', 'answers $i')}, $database)
          if $encoding ne 'UTF8' && $encoding ne 'LATIN1';
    }
    ok(wait_until_sent($node, $database), "$encoding: nothing is owed any more");

    foreach my $i (0 .. $#answers)
    {
        my ($row) = query_rows($node,
            "SELECT outcome, status, response_body FROM rswebhook.delivery WHERE event_id = $ids[$i]", $database);
        is("$row->{outcome} $row->{status}", 'aborted 404', "$encoding: answer $i is written down");
        is($row->{response_body}, $kept{$encoding}[$i], "$encoding: its body too");
    }

    my ($request) = grep { $_->{target} =~ m{/\Q$database\E$} } $receiver->requests;
    ok($request, "$encoding: a request arrived");
    like($request->{body}, qr/"a": ?"\x{e9}"/, "$encoding: the body is UTF-8")
      if $encoding eq 'UTF8' || $encoding eq 'LATIN1';
    next if $encoding ne 'UTF8' && $encoding ne 'LATIN1';

    # mappings, whose names and values are in the database's encoding, and what is sent of them is not
    foreach my $format (qw(json form xml))
    {
        query($node, qq{
            SET client_encoding = 'UTF8';
            INSERT INTO rswebhook.destination (name, url, format, xml_root, path_parts, query_mapping, body_mapping) VALUES
                ('mapped $format', '} . $receiver->url("/mapped/$database/$format") . qq{', '$format', CASE WHEN '$format' = 'xml' THEN U&'r\\00e9xml' END,
                '["\$.p"]', jsonb_build_array(jsonb_build_object('to', U&'\\00e9', 'from', '\$.p')),
                jsonb_build_array(jsonb_build_object('to', U&'\$.\\00e9', 'from', '\$.p'), jsonb_build_object('to', 'a', 'from', U&'\\00fc'))) }, $database);
        query($node, qq{
            SET client_encoding = 'UTF8';
            SELECT rswebhook_send(json_build_object('type', 'track')::jsonb || '{"p": "\\u00e9"}', 'mapped $format')}, $database);
        ok(wait_until_sent($node, $database), "$encoding: $format is sent");
        ($request) = grep { $_->{target} =~ m{^/mapped/$database/$format/} } $receiver->requests;
        is("$request->{target} $request->{body}", "/mapped/$database/$format/%C3%A9?%C3%A9=%C3%A9 " . {
                json => qq({"a":"\x{fc}","\x{e9}":"\x{e9}"}),
                form => 'a=%C3%BC&%C3%A9=%C3%A9',
                xml => qq(<?xml version="1.0" encoding="UTF-8"?><r\x{e9}xml><a>\x{fc}</a><_>\x{e9}</_></r\x{e9}xml>) }->{$format}, "$encoding: in UTF-8, as $format");
    }
}

done_testing();
