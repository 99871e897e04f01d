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
write_file('below/password', "s3cret-password\n");
write_file('below/token', "s3cret-token\r\n");
write_file('outside', 's3cret-outside');
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
write_file('below/token', 's3cret-rotated');
send_to('bearer');
ok(wait_until_sent($node), 'nothing is owed any more');
is(header_of('/bearer', 'authorization'), 'Bearer s3cret-rotated', 'a new token is taken at once');

add_destination($node, 'later', $receiver->url('/later'),
    { %soon, auth_type => 'bearer', auth_token => qq({"file": "$directory/below/later"}) });
my $later = send_to('later');
ok(wait_for_query($node, "SELECT count(*) > 1 FROM rswebhook.delivery WHERE event_id = $later AND outcome = 'retry'", 't'),
    'without its secret an event waits');
like(error_of($later), qr/^a secret is missing: file "\S+\/below\/later" cannot be read: No such file/, 'and says why');
is(scalar $receiver->requests_to('/later'), 0, 'nothing was sent');
write_file('below/later', 's3cret-later');
ok(wait_until_sent($node), 'nothing is owed any more');
is(header_of('/later', 'authorization'), 'Bearer s3cret-later', 'and goes once it is there');

# ---------------------------------------------------------------------
# What is not to be had
# ---------------------------------------------------------------------
mkdir "$directory/below/folder" or die "could not make a directory: $!\n";
POSIX::mkfifo("$directory/below/pipe", 0600) or die "could not make a pipe: $!\n";
write_file('below/large', 'x' x 65537);
write_file('below/empty', "\n");
write_file('below/nul', "s3cret\0nul");
write_file('below/latin1', "s3cret\xe9");
write_file('below/lines', "s3cret-one\ns3cret-two\n");
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
my %event_of;
foreach my $token (sort keys %token)
{
    my $name = 'missing ' . (1 + keys %event_of);

    add_destination($node, $name, $receiver->url('/missing'),
        { %soon, auth_type => 'bearer', auth_token => $token, retry_window => '0', min_attempts => 2 });
    $event_of{$token} = send_to($name);
}
ok(wait_until_sent($node), 'nothing is owed any more');
foreach my $token (sort keys %token)
{
    my $shown = $token;
    $shown =~ s/\Q$directory\E//;

    like(error_of($event_of{$token}, 1), $token{$token}, $shown);
    is(query($node, "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM rswebhook.delivery WHERE event_id = $event_of{$token}"),
        'retry aborted', 'is tried again for a while');
}
is(scalar $receiver->requests_to('/missing'), 0, 'and nothing was sent');

add_destination($node, 'proxy', 'http://example.com/', { %soon, proxy => '{"env": "WEBHOOK_NONE"}' });
add_destination($node, 'signed', 'http://example.com/', { %soon, signing_secrets => '[{"env": "WEBHOOK_KEY"}]' });
my %why = (
    proxy => qr/^a secret is missing: environment variable "WEBHOOK_NONE" is not set$/,
    signed => qr/^environment variable "WEBHOOK_KEY" holds no signing secret: it begins neither with/);
foreach my $name (sort keys %why)
{
    my $id = send_to($name);
    ok(wait_for_query($node, "SELECT count(*) > 0 FROM rswebhook.delivery WHERE event_id = $id", 't'), "$name: tried");
    like(error_of($id, 1), $why{$name}, "$name: why not");
}

# A superuser takes the permission back
query($node, "UPDATE rswebhook.destination SET paused = true WHERE name IN ('proxy', 'signed')");
query($node, q(ALTER SYSTEM SET rswebhook.secret_sources = ''));
$node->reload;
ok(wait_for('the new setting', sub {
            my $id = send_to('header');

            wait_for_query($node, "SELECT count(*) > 0 FROM rswebhook.delivery WHERE event_id = $id", 't');
            return error_of($id, 1) =~ /environment variable "WEBHOOK_KEY" is not permitted/;
        }),
    'what is no longer permitted is not read any more');

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
open my $in, '<', $node->logfile or die "could not read the log: $!\n";
my @leaks = grep { /s3cret/ && !/STATEMENT|INSERT|UPDATE/ } <$in>;
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

sub error_of
{
    my ($id, $attempt) = @_;

    $attempt //= 1;
    return query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $id AND attempt = $attempt");
}

sub basic
{
    my ($pair) = @_;

    return 'Basic ' . encode_base64($pair, '');
}

sub write_file
{
    my ($name, $content) = @_;

    open my $out, '>:raw', "$directory/$name" or die "could not write \"$name\": $!\n";
    print $out $content;
    close $out or die "could not write \"$name\": $!\n";
    return;
}
