# The five minutes of the README: its very statements, with a receiver beside them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('tour');
my ($tour) = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/README.md') =~ /^## Five minutes\n(.*?)^## /ms;
my %step = $tour =~ /^\*\*(.*?)\.\*\*.*?^```sql\n(.*?)^```/gms;

# The statements below a heading, at this receiver.
sub run_step
{
    my ($name) = @_;
    my $sql = $step{$name} // die "the README has no step \"$name\"\n";
    my $here = $receiver->url('');

    $sql =~ s{http://127\.0\.0\.1:8080}{$here}g;
    return query($node, $sql);
}

is(join(', ', sort keys %step),
    'Create a destination, Look at the delivery, Preview, Send, When it does not arrive', 'the tour has its steps');
run_step('Create a destination');
like(run_step('Preview'), qr/"authorization": "Bearer s3cret"/, 'the preview shows the request');
my $id = run_step('Send');
ok(wait_until_sent($node), 'what is sent is delivered');
my ($request) = $receiver->requests_to('/hooks');
is($request->{headers}{authorization}, 'Bearer s3cret', 'with its header');
like(run_step('Look at the delivery'), qr/^$id\|1\|delivered\|200\|.*^shop\|active\|/ms, 'the delivery and the status are shown');

# The receiver does not know the path; then it does
my $missing = $receiver->url('/status/404');
query($node, "UPDATE rswebhook.destination SET url = '$missing'");
my $lost = run_step('Send');
ok(wait_for('the outcome', sub { outcomes($node, $lost) eq 'aborted 404 1' }), 'what is refused is given up');
is(run_step('When it does not arrive'), '1', 'and can be sent again when the cause is gone');
ok(wait_until_sent($node), 'which it is');
is(scalar $receiver->requests_to('/v2/hooks'), 1, 'to where it belongs');

done_testing();
