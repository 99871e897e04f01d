# Hosts whose names are not ASCII are the same in databases of every encoding and
# locale: what is compared, shown and sent is their name in ASCII, whether it is a
# destination's, an event's, a proxy's or a redirect's.  So are names in capitals,
# and those of headers.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Encode qw(encode);
use Names;
use RswebhookTest;
use Test::More;

my $dir = temp_dir('names');
my $names = Names->new($dir) or plan skip_all => 'no compiler, or not glibc';

# what libcurl took these bytes for in Latin-1 is a host as well
my $forest = 'xn--fort-ipa.test';
my $books = 'xn--bcher-kva.test';
my $japanese = 'xn--r8jz45g.test';
$names->hosts("127.0.0.1 $forest xn--forat-cra.test $books $japanese listed.test xn--prox-ypa.test");

my $locales = temp_dir('locales');
chmod 0755, "$locales";
my %made = map { $_ => make_locale($_) } 'fr_FR.ISO-8859-1', 'tr_TR.ISO-8859-9';
$ENV{LOCPATH} = "$locales";
$ENV{PGCLIENTENCODING} = 'UTF8';

# database => encoding and locale; what text is given in
my @databases = (
    [ 'utf8', 'UTF8', 'C' ],
    [ 'utf8_c_utf8', 'UTF8', 'C.UTF-8' ],
    [ 'latin1', 'LATIN1', 'C' ],
    [ 'latin1_fr', 'LATIN1', 'fr_FR.ISO-8859-1' ],
    [ 'latin5_tr', 'LATIN5', 'tr_TR.ISO-8859-9' ],
    [ 'euc_jp', 'EUC_JP', 'C' ],
    [ 'sql_ascii_fr', 'SQL_ASCII', 'fr_FR.ISO-8859-1' ],
    [ 'sql_ascii_tr', 'SQL_ASCII', 'tr_TR.ISO-8859-9' ]);

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    connect_timeout => '20 s',
    timeout => '20 s');

my $receiver = new_receiver();
my $proxy = new_receiver();
my $port = $receiver->port;
my $node = new_node('host_names', start => 0);
$names->start($node);

foreach my $case (@databases)
{
    my ($database, $encoding, $locale) = @$case;

  SKIP:
    {
        skip "no locale $locale here", 1 if exists $made{$locale} && !$made{$locale};
        query($node,
            "CREATE DATABASE $database ENCODING '$encoding' LOCALE '$locale' TEMPLATE template0");
        query($node, 'CREATE EXTENSION rswebhook', $database);
        test_database($database, $encoding);
    }
}
done_testing();

sub make_locale
{
    my ($name) = @_;
    my ($language, $charmap) = split /\./, $name;

    system("localedef -i $language -f $charmap $locales/$name 2>/dev/null");
    return -e "$locales/$name/LC_CTYPE";
}

sub test_database
{
    my ($database, $encoding) = @_;

    # EUC_JP has all of these, LATIN1 and LATIN5 what is European
    my ($name, $capitals, $ascii) =
      $encoding eq 'EUC_JP' ? ('例え。test', '例え．TEST', $japanese) : ('forêt.test', 'FORÊT.Test', $forest);
    my $sent = 0;
    my %id_of;

    my $add = sub {
        my ($what, $url, %columns) = @_;

        add_destination($node, $what, encoded($url), { %hasty, map { $_ => encoded($columns{$_}) } keys %columns },
            $database);
    };
    my $send = sub {
        my ($what, $full_path) = @_;
        my %event = (type => 'track', userId => 'u');
        my $extra = defined $full_path ? encoded(qq( || '{"context": {"traits": {}}, "fullPath": "$full_path"}')) : '';

        $id_of{$what} = query($node, qq{
            SELECT rswebhook_send('{"type": "track", "userId": "u"}'::jsonb$extra, '$what')}, $database);
    };
    my $value_of = sub {
        my ($what, $column) = @_;

        return query($node, "SELECT $column FROM rswebhook.destination WHERE name = '$what'", $database);
    };

    # a destination
    $add->('plain', "http://$capitals:$port/$database/plain");
    is($value_of->('plain', 'url'), "http://$ascii:$port/$database/plain", "$database: the name of a destination's host becomes ASCII");
    is(query($node, q{SELECT rswebhook_transform('{"type": "track", "userId": "u"}', 'plain') ->> 'endpoint'}, $database),
        "http://$ascii:$port/$database/plain", "$database: and is shown so");
    $send->('plain');

    # one that came past the checks
    query($node, encoded("SET session_replication_role = replica;
        INSERT INTO rswebhook.destination (name, url) VALUES ('unchecked', 'http://$name:$port/$database/unchecked')"), $database);
    $send->('unchecked');

    # an event that says where, and one that must not
    $add->('event', "http://127.0.0.1:$port/", allowed_hosts => "{$capitals:$port,[::1]:1}");
    is($value_of->('event', 'allowed_hosts'), "{$ascii:$port,[::1]:1}", "$database: so do those of allowed hosts");
    $send->('event', "http://$name:$port/$database/event");
    is(query($node, encoded(qq{SELECT rswebhook_transform('{"type": "track", "userId": "u", "fullPath": "http://$name:$port/"}', 'event') ->> 'endpoint'}), $database),
        "http://$ascii:$port/", "$database: and an event's");
    $add->('other', "http://127.0.0.1:$port/");
    $send->('other', "http://$name:$port/$database/other");

    # a proxy, and a host to reach without it; the password is none of ours
    $add->('proxied', "http://$name/$database/proxied", proxy => 'http://user:p%23w@proxí.test:' . $proxy->port) if $encoding ne 'EUC_JP';
    $add->('direct', "http://$name:$port/$database/direct",
        proxy => 'http://127.0.0.2:1', no_proxy => "10.0.0.0/8, .$capitals");
    is($value_of->('proxied', 'proxy'), 'http://user:p%23w@xn--prox-ypa.test:' . $proxy->port, "$database: and a proxy's") if $encoding ne 'EUC_JP';
    is($value_of->('direct', 'no_proxy'), "10.0.0.0/8, .$ascii", "$database: and those to reach without one");
    $send->('proxied') if $encoding ne 'EUC_JP';
    $send->('direct');

    # capitals of ASCII are the same letters in Turkish
    $add->('capitals', "http://LISTED.TEST:$port/$database/capitals");
    $send->('capitals');

    # redirects
    my %location = (
        utf8 => encode('UTF-8', "http://FORÊT.test:$port/$database/redirected-utf8"),
        codes => "http://for%C3%AAt.test:$port/$database/redirected-codes",
        relative => encode('UTF-8', "//forêt.test:$port/$database/redirected-relative"),
        latin1 => encode('ISO-8859-1', "http://forêt.test:$port/$database/redirected-latin1"),
        'latin1-codes' => "http://for%EAt.test:$port/$database/redirected-latin1-codes",
        mixed => encode('UTF-8', "http://אa.test:$port/$database/redirected-mixed"));
    foreach my $kind (sort keys %location)
    {
        $add->("to $kind", "http://127.0.0.1:$port/location/307/" . escaped($location{$kind}), max_redirects => 3);
        $send->("to $kind");
    }
    my $head = "HTTP/1.1 307 There\r\nLOCATION: /$database/redirected-capitals\r\nCONTENT-LENGTH: 0\r\n\r\n";
    $add->('to capitals', "http://127.0.0.1:$port/raw/close/" . escaped($head), max_redirects => 3);
    $send->('to capitals');

    ok(wait_until_sent($node, $database), "$database: nothing is owed any more");

    my %expected = (
        plain => "delivered 200 $ascii:$port",
        unchecked => "delivered 200 $ascii:$port",
        event => "delivered 200 $ascii:$port",
        other => 'aborted',
        direct => "delivered 200 $ascii:$port",
        capitals => "delivered 200 listed.test:$port",
        'to utf8' => "delivered 200 $forest:$port",
        'to codes' => "delivered 200 $forest:$port",
        'to relative' => "delivered 200 $forest:$port",
        'to latin1' => 'aborted 307',
        'to latin1-codes' => 'aborted 307',
        'to mixed' => 'aborted 307',
        'to capitals' => "delivered 200 127.0.0.1:$port");
    foreach my $what (sort keys %expected)
    {
        my ($row) = query_rows($node,
            "SELECT outcome, status, request, error FROM rswebhook.delivery WHERE event_id = $id_of{$what} ORDER BY attempt DESC LIMIT 1", $database);
        my $path = "/$database/" . ($what =~ s/^to /redirected-/r);
        my ($request) = $receiver->requests_to($path);
        my $got = join ' ', grep { defined } $row->{outcome}, $row->{status}, $request ? lc $request->{headers}{host} : ();

        is($got, $expected{$what}, "$database: $what" . ($row->{error} ? " ($row->{error})" : ''));
        is($row->{request}, "POST http://$ascii:$port$path", "$database: what is written down of it")
          if $what =~ /^(?:plain|unchecked|event|direct)$/;
        is($row->{error}, "the event's URL leads to $ascii:$port, which is neither the destination's own host nor in its allowed_hosts",
            "$database: why not") if $what eq 'other';
    }
    if ($encoding ne 'EUC_JP')
    {
        is(outcomes($node, $id_of{proxied}, $database), 'delivered 200 1', "$database: by a proxy");
        my ($request) = grep { $_->{target} =~ m{/\Q$database\E/proxied$} } $proxy->requests;
        is($request->{target}, "http://$ascii/$database/proxied", "$database: which is told the name in ASCII");
        is($request->{headers}{host}, $ascii, "$database: as the receiver is");
    }

    # what is no host
    my $none = $encoding eq 'EUC_JP' ? '-え.test' : '-ê.test';
    my %bad = (
        url => [ "http://$none/", 'has hyphens where none' ],
        allowed_hosts => [ "{a.test,$none}", 'is not a host' ],
        no_proxy => [ "a.test $none", 'has hyphens where none' ],
        proxy => [ "http://u:secret\@$none:1", 'has hyphens where none' ]);
    foreach my $column (sort keys %bad)
    {
        my ($value, $why) = @{ $bad{$column} };
        my ($status, undef, $message) = $node->psql($database, encoded("UPDATE rswebhook.destination SET $column = '$value'"));

        like($message, qr/column "$column"\n.*DETAIL: .*(?:$why)/s, "$database: $column refuses what is none");
        unlike($message, qr/secret/, "$database: and tells no password");
    }
    if ($encoding eq 'SQL_ASCII')
    {
        my ($status, undef, $message) = $node->psql($database,
            encode('ISO-8859-1', "SET client_encoding = 'SQL_ASCII'; UPDATE rswebhook.destination SET url = 'http://forêt.test/'"));
        like($message, qr/host is not valid UTF-8/, "$database: bytes in another encoding are no host");
    }
    return;
}

# As the client sends it: UTF-8, which the server converts unless it has no encoding.
sub encoded
{
    my ($text) = @_;

    return encode('UTF-8', $text);
}

sub escaped
{
    my ($bytes) = @_;

    return $bytes =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
}
