# scripts/top: the destinations in trouble come first, a picture has the size of its terminal, a monitor's
# rights are enough, keys work, and the terminal is left as it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Encode ();
use IPC::Run ();
use RswebhookTest;
use Test::More;

my $top = source_dir() . '/scripts/top';
my $receiver = new_receiver();
my $node = new_node('top', conf => "rswebhook.alert_failures = 1\n");
my @connect = ('-h', $node->host, '-p', $node->port, '-d', 'postgres', '-U', 'watcher');

sub top
{
    my (@arguments) = @_;
    my ($out, $error) = ('', '');

    IPC::Run::run([ $top, @arguments, @connect ], '<', \'', '>', \$out, '2>', \$error);
    return (Encode::decode('UTF-8', $out), $error, $? >> 8);
}

# Without the colours, and as wide as a terminal shows it
sub plain
{
    return split /\n/, $_[0] =~ s/\e\[\d*m//gr;
}

sub width
{
    return length($_[0]) + (() = $_[0] =~ /\p{East_Asian_Width=Wide}/g);
}

query($node, 'CREATE ROLE watcher LOGIN IN ROLE pg_monitor');
my ($out, $error, $status) = top(qw(--every 0.1 --frames 1 --size 80x24));
is("$status $error", '0 ', 'it needs no more than pg_monitor has');
like($out, qr/There are no destinations/, 'and no destination');

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 'true' });
add_destination($node, 'a failing one of which the name is long, and in 中文 as well', $receiver->url('/text/503/%1B%5B2Jgone'));
send_event($node, { type => 'track', event => 'Seen', userId => "u$_" }) foreach 1 .. 10;
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.alert WHERE open}, 1), 'somebody is told of the failing one');
foreach my $size ([ 80, 24 ], [ 132, 50 ], [ 81, 8 ])
{
    my ($columns, $rows) = @$size;

    ($out, $error, $status) = top('--every', '0.1', '--frames', '2', '--size', "${columns}x$rows");
    is("$status $error", '0 ', "a picture of ${columns}x$rows");
    my @lines = plain($out);
    is(scalar @lines, 2 * $rows, 'each has so many lines');
    is(join("\n", grep { width($_) > $columns } @lines), '', 'of no more columns');
}
($out) = top(qw(--every 0.1 --frames 1 --size 100x24));
my @lines = plain($out);
is(join(' ', map { /^(good|paused|a failing)/ ? $1 : () } @lines), 'a failing good paused', 'those in trouble come first');
like($out, qr/! destination failing "a failing one/, 'with what lasts');
like($out, qr/ago, a failing one.*HTTP status 503|a moment ago, a failing/, 'and the last error');
unlike($out, qr/\e\[2J/, 'which does nothing to the terminal');

query($node, 'INSERT INTO rswebhook.destination (name, url, paused) SELECT format($f$d%s$f$, n), $u$http://127.0.0.1:9/$u$, true FROM generate_series(1, 100) n');
($out) = top(qw(--every 0.1 --frames 1 --size 80x24));
like($out, qr/1-1\d of 103/, 'of many, the first');

# In a terminal of its own, as script(1) makes one
my $command = "stty rows 24 cols 80; $top --every 0.5 @connect; echo ended \$?; stty -a";
my ($in, $seen) = ('', '');
my $terminal = IPC::Run::start([ 'script', '-qec', $command, '/dev/null' ], '<', \$in, '>', \$seen, '2>&1');
ok(wait_for('the list', sub { $terminal->pump_nb; $seen =~ /1-1\d of 103/ }, 20), 'it is there');
$in .= "\e[6~";
ok(wait_for('the next page', sub { $terminal->pump_nb; $seen =~ /11-2\d of 103/ }, 20), 'a page down shows the next ones');
$in .= 'q';
ok(wait_for('the end', sub { $terminal->pump_nb; $seen =~ /ended 0.*-?echoe/s }, 20), 'q quits');
like($seen, qr/\e\[\?1049l.*ended 0.* icanon.* echo /s, 'and leaves the terminal as it was');
$terminal->finish;

@connect = ('-h', $node->host, '-p', $node->port, '-d', 'nowhere');
($out, $error, $status) = top(qw(--frames 1));
like("$status $error", qr/^1 top: .*database "nowhere" does not exist/, 'what psql says is said');
query($node, 'CREATE DATABASE bare');
$connect[5] = 'bare';
($out, $error, $status) = top(qw(--frames 1));
like("$status $error", qr/^1 top: .*schema "rswebhook" does not exist/, 'also without the extension');
($out, $error, $status) = top(qw(--every never));
like("$status $error", qr/^2 usage: top/, 'a strange argument is one');

$node->stop;
done_testing();
