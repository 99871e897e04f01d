# A connection that is reset as soon as it is there: the reason that is told is no
# system call of libcurl's.
#
# Between the end of the handshake and libcurl's look at the connection are
# microseconds, so the worker stops itself there (stops.c).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use JSON::PP;
use Ledgers;
use RswebhookTest;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();
plan skip_all => 'needs preloading that ELF systems have' if $^O !~ /^(?:linux|freebsd)$/;
plan skip_all => 'a sanitizer wants to be loaded first' if $ENV{RSWEBHOOK_SANITIZED};

my $certificates = Certificates->new(temp_dir('certificates'));
my $dir = temp_dir('stops');
my $file = "$dir/stop";
my $node = new_node('reset_set_up', start => 0);

system('cc', '-shared', '-fPIC', qq{-DFILE_NAME="$file"}, '-o', "$dir/stops.so",
    source_dir() . '/t/lib/stops.c', '-ldl') == 0
  or plan skip_all => 'it takes a compiler';
chmod 0777, $dir;
{
    local $ENV{LD_PRELOAD} = "$dir/stops.so";
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');
my $worker = await_workers($node);

# the second thing that it writes is the last of its handshake
my ($port, $url) = Http2::told($certificates, { resets => JSON::PP::true, tls => 'TLSv1.2' });
add_destination($node, 'reset', $url, { Http2::hasty($certificates), min_attempts => 1 });
open my $out, '>', "$file.new" or die "could not write \"$file.new\": $!\n";
print $out "send 2\n";
close $out;
chmod 0666, "$file.new";
rename "$file.new", $file or die "could not rename \"$file.new\": $!\n";
send_all($node, [ 'reset', 'reset-1', $url ]);
ok(wait_for('the worker to stop', sub { !-e $file }), 'the worker has done its part of the handshake');
ok(wait_for('the reset', sub { -s "$port.connected" }), 'the receiver ends that, and the connection');
kill 'CONT', split(/ /, $worker);
ok(wait_until_sent($node), 'the attempt has failed');
like(
    query($node, 'SELECT error FROM rswebhook.delivery'),
    qr/^(?:sending|waiting for an answer): (?!getpeername)/,
    'for what has happened');
done_testing();
