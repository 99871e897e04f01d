# Secrets that are not in the database are read when an attempt is made, as far
# as a superuser permits it; and no secret shows up where it should not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use MIME::Base64;
use POSIX ();
use RswebhookTest;
use Test::More;

my $directory = File::Temp->newdir('rswebhook_secrets_XXXXXX', TMPDIR => 1);
my $receiver = new_receiver();
my $node = new_node('secrets', start => 0,
    conf => "rswebhook.secret_sources = 'env:WEBHOOK_, file:$directory/below'\nlog_min_messages = debug1\n");

mkdir "$directory/below" or die "could not make a directory: $!\n";
write_file("$directory/below/password", "s3cret-password\n");
write_file("$directory/below/token", "s3cret-token\r\n");
write_file("$directory/outside", 's3cret-outside');
symlink 'password', "$directory/below/link" or die "could not make a link: $!\n";

{
    local $ENV{WEBHOOK_KEY} = 's3cret-key';
    local $ENV{WEBHOOK_BROKEN} = "s3cret-broken\nx-injected: 1";
    local $ENV{WEBHOOK_EMPTY} = '';
    local $ENV{OTHER_KEY} = 's3cret-other';
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');

# Late enough to be tried again at our word, and soon enough if need be.
my %soon = (min_backoff => '50 ms', max_backoff => '100 ms', breaker_failures => 0);

# ---------------------------------------------------------------------
# Where they come from
# ---------------------------------------------------------------------
add_destination($node, 'header', $receiver->url('/header'),
    { %soon, headers => '{"X-Key": {"env": "WEBHOOK_KEY"}, "x-plain": "p"}' });
add_destination($node, 'basic', $receiver->url('/basic'),
    { %soon, auth_type => 'basic', auth_username => 'me',
        auth_password => qq({"file": "$directory/below/password"}) });
add_destination($node, 'bearer', $receiver->url('/bearer'),
    { %soon, auth_type => 'bearer', auth_token => qq({"file": "$directory/below/token"}) });
add_destination($node, 'api_key', $receiver->url('/api_key'),
    { %soon, auth_type => 'api_key', auth_header => 'X-Shop-Key', auth_token => '{"env": "WEBHOOK_KEY"}' });
add_destination($node, 'literal', $receiver->url('/literal?token=s3cret-query'),
    { %soon, auth_type => 'basic', auth_username => 'me', auth_password => 's3cret-literal',
        headers => '{"X-Key": "s3cret-header"}' });
add_destination($node, 'link', $receiver->url('/link'),
    { %soon, auth_type => 'bearer', auth_token => qq({"file": "$directory/below/link"}) });
send_to($_) foreach qw(header basic bearer api_key literal link);
ok(wait_until_sent($node), 'nothing is owed any more');

is(header_of('/header', 'x-key'), 's3cret-key', 'a header from the environment');
is(header_of('/header', 'x-plain'), 'p', 'next to one from the row');
is(header_of('/basic', 'authorization'), basic('me:s3cret-password'), 'a password from a file');
is(header_of('/bearer', 'authorization'), 'Bearer s3cret-token', 'a token from a file');
is(header_of('/api_key', 'x-shop-key'), 's3cret-key', 'a key in a header of its own');
is(header_of('/literal', 'authorization'), basic('me:s3cret-literal'), 'a password from the row');
is(header_of('/link', 'authorization'), 'Bearer s3cret-password', 'a link below the directory is followed');

# ---------------------------------------------------------------------
# They are read at the attempt, not before
# ---------------------------------------------------------------------
write_file("$directory/below/token", 's3cret-rotated');
send_to('bearer');
ok(wait_until_sent($node), 'nothing is owed any more');
is(header_of('/bearer', 'authorization'), 'Bearer s3cret-rotated', 'a new token is taken at once');

# without its secret an event waits, and nobody is charged for it
my %touchy = (%soon, breaker_failures => 1, retry_window => '0', min_attempts => 1);
my $no_file = qr/^a secret is missing: file "\S+\/below\/later" cannot be read: No such file/;
add_destination($node, 'later', $receiver->url('/later'),
    { %touchy, auth_type => 'bearer', auth_token => qq({"file": "$directory/below/later"}) });
send_event($node, { type => 'track', userId => "u$_->[0]", messageId => "u$_->[0]-$_->[1]" }, 'later')
  foreach map { my $i = $_; map { [ $_, $i ] } 1, 2 } 1 .. 3;
add_destination($node, 'expiring', $receiver->url('/later'),
    { %touchy, auth_type => 'bearer', auth_token => qq({"file": "$directory/below/later"}) });
my $expiring = query($node, q{SELECT rswebhook_send('{"type": "track"}', 'expiring', expires_after => interval '500 ms')});
ok(unusable('later'), 'a destination without its secret is shown');
like(last_error('later'), $no_file, 'with the reason');
ok(wait_for_query($node, "SELECT string_agg(error, ', ') FROM rswebhook.delivery WHERE event_id = $expiring",
        'the event expired before it could be delivered'), 'it is looked at again, and an event can expire meanwhile');
is(query($node, 'SELECT count(*), max(attempts) FROM rswebhook.queue'), '6|0', 'the others wait, and no attempt is counted');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('later')}), 0,
    'no row is written of them');
is(query($node, q{SELECT state, breaker, retried, lacks FROM rswebhook.status WHERE destination = 'later'}),
    'unusable|closed|0|', 'no breaker has opened, and no worker itself lacks anything');
like(last_error('later'), $no_file, 'the reason is still shown');
is(scalar $receiver->requests_to('/later'), 0, 'nothing was sent');
send_to('literal');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('literal')}, 0),
    'others go on');
write_file("$directory/below/later", 's3cret-later');
$node->reload;
ok(wait_until_sent($node), 'nothing is owed any more');
is(header_of('/later', 'authorization'), 'Bearer s3cret-later', 'they go once it is there');
foreach my $user (1, 2)
{
    is(join(' ', grep { /^u$user/ } map { $_->{headers}{'webhook-id'} } $receiver->requests_to('/later')),
        "u$user-1 u$user-2 u$user-3", "in the order of user $user");
}
is(query($node, q{SELECT string_agg(DISTINCT outcome || attempt, ' ') FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('later')}), 'delivered1', 'each at its first attempt');
is(query($node, q{SELECT state FROM rswebhook.status WHERE destination = 'later'}), 'active', 'the destination can be used again');
is(scalar(() = logged($node) =~ /LOG: +rswebhook cannot use destination "later": a secret is missing/g), 1, 'the log says once that it could not');
is(scalar(() = logged($node) =~ /LOG: +rswebhook can use destination "later" again/g), 1, 'and that it can');

# ---------------------------------------------------------------------
# What is not to be had
# ---------------------------------------------------------------------
mkdir "$directory/below/folder" or die "could not make a directory: $!\n";
POSIX::mkfifo("$directory/below/pipe", 0600) or die "could not make a pipe: $!\n";
write_file("$directory/below/large", 'x' x 65537);
write_file("$directory/below/empty", "\n");
write_file("$directory/below/nul", "s3cret\0nul");
write_file("$directory/below/latin1", "s3cret\xe9");
write_file("$directory/below/lines", "s3cret-one\ns3cret-two\n");
symlink '/dev/zero', "$directory/below/device" or die "could not make a link: $!\n";
my %token = (
    '{"env": "OTHER_KEY"}' => qr/^a secret is missing: environment variable "OTHER_KEY" is not permitted by rswebhook\.secret_sources$/,
    '{"env": "WEBHOOK_NONE"}' => qr/environment variable "WEBHOOK_NONE" is not set$/,
    '{"env": "WEBHOOK_EMPTY"}' => qr/environment variable "WEBHOOK_EMPTY" is empty$/,
    '{"env": "WEBHOOK_BROKEN"}' => qr/^header "authorization" cannot be made of environment variable "WEBHOOK_BROKEN": the value has a line break$/,
    qq({"file": "$directory/outside"}) => qr/is not permitted by/,
    qq({"file": "$directory/below-not/x"}) => qr/is not permitted by/,
    qq({"file": "$directory/below"}) => qr/is not permitted by/,
    '{"file": "/etc/passwd"}' => qr/is not permitted by/,
    qq({"file": "$directory/below/folder"}) => qr/is not a regular file$/,
    qq({"file": "$directory/below/pipe"}) => qr/is not a regular file$/,
    qq({"file": "$directory/below/device"}) => qr/is not a regular file$/,
    qq({"file": "$directory/below/large"}) => qr/has more than 65536 bytes$/,
    qq({"file": "$directory/below/empty"}) => qr/is empty$/,
    qq({"file": "$directory/below/nul"}) => qr/holds a NUL byte$/,
    qq({"file": "$directory/below/latin1"}) => qr/is not text in the database's encoding$/,
    qq({"file": "$directory/below/lines"}) => qr/the value has a line break$/);
my %name_of;
foreach my $token (sort keys %token)
{
    my $name = $name_of{$token} = 'missing ' . (1 + keys %name_of);

    add_destination($node, $name, $receiver->url('/missing'),
        { %touchy, auth_type => 'bearer', auth_token => $token });
    send_to($name);
}
foreach my $token (sort keys %token)
{
    my $shown = $token;
    $shown =~ s/\Q$directory\E//;

    ok(unusable($name_of{$token}), "$shown: cannot be used");
    like(last_error($name_of{$token}), $token{$token}, "$shown: why");
}
is(scalar $receiver->requests_to('/missing'), 0, 'nothing was sent');
is(query($node, q{SELECT count(*), max(attempts) FROM rswebhook.queue}), keys(%token) . '|0', 'all events wait');

# One whose row is corrected goes on at once, whatever it was looked at again for
my ($corrected) = values %name_of;
query($node, qq{UPDATE rswebhook.destination SET auth_token = 's3cret-corrected' WHERE name = '$corrected'});
ok(wait_for_query($node, qq{SELECT outcome || attempt FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('$corrected')},
        'delivered1'), 'a corrected row is taken at once');
is(header_of('/missing', 'authorization'), 'Bearer s3cret-corrected', 'with its new secret');
query($node, qq{SELECT rswebhook_cancel_all('$_')}) foreach values %name_of;
ok(wait_for_query($node, q{SELECT DISTINCT state FROM rswebhook.status WHERE destination LIKE 'missing%'}, 'active'),
    'with nothing owed, nothing is said against them');

add_destination($node, 'proxy', 'http://example.com/', { %soon, proxy => '{"env": "WEBHOOK_NONE"}' });
add_destination($node, 'signed', 'http://example.com/', { %soon, signing_secrets => '[{"env": "WEBHOOK_KEY"}]' });
write_file("$directory/below/cert.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
write_file("$directory/below/half.pem", "-----BEGIN PRIVATE KEY-----\nMIIB");
my %pem = map { $_ => qq({"file": "$directory/below/$_.pem"}) } 'cert', 'half';
add_destination($node, 'no proxy', 'http://example.com/', { %touchy, proxy => '{"env": "WEBHOOK_KEY"}' });
add_destination($node, 'no certificate', 'https://example.com/', { %touchy, client_cert => $pem{half}, client_key => $pem{half} });
add_destination($node, 'half a key', 'https://example.com/', { %touchy, client_cert => $pem{cert}, client_key => $pem{half} });
my %why = (
    'no proxy' => qr/^environment variable "WEBHOOK_KEY" is of no use: The proxy does not start with the scheme of one\.$/,
    'no certificate' => qr/^file "\S+half\.pem" is of no use: The value is not a certificate in PEM form\.$/,
    'half a key' => qr/^file "\S+half\.pem" is of no use: The value is not a private key in PEM form\.$/,
    proxy => qr/^a secret is missing: environment variable "WEBHOOK_NONE" is not set$/,
    signed => qr/^environment variable "WEBHOOK_KEY" holds no signing secret: it begins neither with/);
foreach my $name (sort keys %why)
{
    send_to($name);
    ok(unusable($name), "$name: cannot be used");
    like(last_error($name), $why{$name}, "$name: why not");
}

# A superuser takes the permission back
query($node, "UPDATE rswebhook.destination SET paused = true WHERE name IN ('${\ join q(', '), keys %why}')");
query($node, q(ALTER SYSTEM SET rswebhook.secret_sources = ''));
$node->reload;
ok(wait_for('the new setting', sub {
            send_to('header');
            return last_error('header') =~ /environment variable "WEBHOOK_KEY" is not permitted/;
        }),
    'what is no longer permitted is not read any more');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'retry'}), 0, 'nothing of all that was an attempt');

# ---------------------------------------------------------------------
# Nobody else sees them
# ---------------------------------------------------------------------
foreach my $relation (qw(delivery event queue status breaker))
{
    is(query($node, "SELECT count(*) FROM rswebhook.$relation AS r WHERE r::text LIKE '%s3cret%'"),
        '0', "no secret in rswebhook.$relation");
}
my ($status, undef, $error) = $node->psql('postgres', q(
    INSERT INTO rswebhook.destination (name, url, headers) VALUES ('literal', 'https://u:s3cret@example.com/?t=s3cret', '{"x-a": "s3cret"}');
    UPDATE rswebhook.destination SET headers = '{"x-a": "s3cret\n"}' WHERE name = 'literal';
    UPDATE rswebhook.destination SET auth_password = E's3cret\n' WHERE name = 'literal';
    UPDATE rswebhook.destination SET auth_token = 's3cret' WHERE name = 'literal';
    UPDATE rswebhook.destination SET signing_secrets = '["whsec_s3cret"]' WHERE name = 'literal';
    UPDATE rswebhook.destination SET proxy = 's3cret:s3cret@proxy' WHERE name = 'literal';
    UPDATE rswebhook.destination SET client_key = 's3cret' WHERE name = 'literal';
    UPDATE rswebhook.destination SET auth_type = 's', max_in_flight = 0 WHERE name = 'literal';
    INSERT INTO rswebhook.destination (name, url, headers) VALUES ('literal', 'https://example.com', '{"x-a": "s3cret"}');),
    on_error_stop => 0);
is(() = $error =~ /ERROR/g, 9, 'nine errors') or diag($error);
unlike($error, qr/s3cret/, 'and no secret in any of them');
my @leaks = grep { /s3cret/ && !/STATEMENT|INSERT|UPDATE/ } split /^/, logged($node);
is("@leaks", '', 'no secret in the log, but for statements of whoever wrote one');

done_testing();

sub send_to
{
    my ($destination) = @_;

    return send_event($node, { type => 'track' }, $destination);
}

# Of the newest request to a path.
sub header_of
{
    my ($path, $name) = @_;
    my @requests = $receiver->requests_to($path);

    return $requests[-1]{headers}{$name};
}

sub unusable
{
    my ($destination) = @_;

    return wait_for_query($node, "SELECT state FROM rswebhook.status WHERE destination = '$destination'", 'unusable');
}

sub last_error
{
    my ($destination) = @_;

    return query($node, "SELECT last_error FROM rswebhook.status WHERE destination = '$destination'");
}

sub basic
{
    my ($pair) = @_;

    return 'Basic ' . encode_base64($pair, '');
}
