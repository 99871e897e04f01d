# doc/rudderstack.md: the guide does what it says, step by step, and the receiver gets what it shows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->allow_nonref->canonical;
my $receiver = new_receiver();
my $node = new_node('guide');
my $place = temp_dir('guide');
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/rudderstack.md');
my %url = (hooks => $receiver->url('/true'), compare => $receiver->url('/compared'));
my ($examples, $shown, $said) = (0, 0);
my $section = 'the beginning';
my $is_written;

$page =~ s{https://(hooks|compare)\.example\.com}{$url{$1}}g;
chdir $place or die "could not go to $place: $!\n";
my $session = $node->background_psql('postgres', on_error_stop => 0);

# as who is no superuser, and has what the page says
query($node, q{CREATE ROLE mover});
query($node, qq{SELECT rswebhook.grant_$_('mover')}) foreach qw(editor sender operator);
query($node, q{ALTER DATABASE postgres OWNER TO mover});
$session->query('SET ROLE mover');

while ($page =~ /^(?:#+ ([^\n]*)|```(\w+)\n(.*?)^```)$/gms)
{
    if (defined $1)
    {
        $section = $1;
        next;
    }
    my ($kind, $text) = ($2, $3);

    if ($kind eq 'json' && !$is_written)
    {
        open my $out, '>', 'workspace.json' or die "could not write: $!\n";
        print $out $text;
        close $out;
        $is_written = 1;
    }
    elsif ($kind eq 'sql')
    {
        my $log = -s $node->logfile;

        $session->query('RESET ROLE') if $text =~ /rswebhook\.enrich/;

        is(scalar($receiver->new_requests), 0, "$section: nothing came that is not shown");
        $said = $session->query($text);
        is(times_logged($node, qr/ERROR:/, $log), 0, "$section: an example runs");
        ok(wait_for_query($node, 'SELECT NOT EXISTS (SELECT FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE NOT d.paused)', 't'),
            'what it sends is sent');
        $examples++;
    }
    elsif ($kind eq 'json')
    {
        my @requests = $receiver->new_requests;
        my @expected = sort map { $json->encode($_) } $json->incr_parse($text);

        is_deeply([ sort map { $json->encode($json->decode($_->{body})) } @requests ], \@expected, "$section: what arrives is what is shown");
        my $where = $section eq 'Switch' ? '/true/' : '/compared/';
        is(scalar(grep { index($_->{target}, $where) != 0 } @requests), 0, "at $where");
        $shown += @requests;
    }
    elsif ($kind eq 'text')
    {
        s/\s*\|\s*/|/g, s/\s+/ /g, s/^ | $//g foreach $text, $said;
        is($said, $text, "$section: what is said");
    }
}
my @enriched = $receiver->new_requests;
is(scalar(@enriched), 1, 'nothing more came but what the last example sends');
ok(exists $json->decode($enriched[0]{body})->{rudderId}, 'with what the gateway adds');
cmp_ok($examples, '>', 6, 'examples');
is($shown, 4, 'what arrives');
is(query($node, q{SELECT string_agg(name || ' ' || enabled || ' ' || paused, ', ' ORDER BY name) FROM rswebhook.destination}),
    'CRM true false, Orders true false', 'all destinations deliver in the end');

$session->quit;
chdir source_dir();
$node->stop;
done_testing();
