# doc/tables.md: each example does what the page says, and the receiver gets what it shows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->utf8->allow_nonref;
my $receiver = new_receiver();
my $node = new_node('page');
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/tables.md');
my ($examples, $shown, $what) = (0, 0);
my $section = 'the beginning';

while ($page =~ /^(?:#+ ([^\n]*)|```(\w+)\n(.*?)^```)$/gms)
{
    if (defined $1)
    {
        $section = $1;
        next;
    }
    my ($kind, $text) = ($2, $3);

    if ($kind eq 'sql')
    {
        no_more("before an example of \"$section\"");
        my $url = $receiver->url('');
        (my $sql = $text) =~ s{https://hooks\.example\.com}{$url}g;
        my $log = -s $node->logfile;

        # what arrives is compared in its order, and users have none among them
        $session->query($sql);
        is(times_logged($node, qr/ERROR:/, $log), 0, "$section: an example runs");
        ok(wait_until_sent($node), 'what it sends is sent');
        $what = $session->{stderr};
        $session->{stderr} = '';
        $examples++;
    }
    elsif ($kind eq 'json')
    {
        my @expected = $json->incr_parse($text);
        my @got = map { $json->decode($_->{body}) } $receiver->new_requests;

        is(scalar @got, scalar @expected, "$section: as many events as are shown");
        @$_ = sort { $json->canonical->encode($a->{properties} // {}) cmp $json->canonical->encode($b->{properties} // {}) } @$_
          foreach \@got, \@expected;
        foreach my $i (0 .. $#expected)
        {
            is(difference($expected[$i], $got[$i] // {}), '', 'what arrives is what is shown') or diag(explain($got[$i]));
            $shown++;
        }
    }
    elsif ($kind eq 'text')
    {
        s/\s+/ /g foreach $text, $what;
        $text =~ s/^ | $//g;
        like($what, qr/\Q$text\E/, "$section: what is said");
    }
}
no_more('at the end');
cmp_ok($examples, '>', 10, 'examples');
cmp_ok($shown, '>', 10, 'what arrives');
is(query($node, 'SELECT count(*) FROM outbox_events'), 0, 'keep=false keeps nothing');

$session->quit;
$node->stop;
done_testing();

sub no_more
{
    my ($when) = @_;

    is(scalar($receiver->new_requests), 0, "nothing that is not shown, $when");
    return;
}

# Where something differs from what is shown, which may be less than there is.
sub difference
{
    my ($expected, $got, $path) = (@_, '$');

    return '' if !ref $expected && defined $expected && $expected eq "\x{2026}";
    return "$path: no object" if ref $expected eq 'HASH' && ref $got ne 'HASH';
    if (ref $expected eq 'HASH')
    {
        foreach my $key (sort keys %$expected)
        {
            my $found = exists $got->{$key} ? difference($expected->{$key}, $got->{$key}, "$path.$key") : "$path.$key: not there";
            return $found if $found;
        }
        return '';
    }
    my ($x, $y) = map { ref $_ || !defined $_ ? $json->canonical->encode($_) : $_ =~ /^-?[\d.]+$/ ? $_ + 0 : $_ } $expected, $got;
    return $x eq $y ? '' : "$path: $y instead of $x";
}
