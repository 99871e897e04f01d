# Ledgers.pm
#     Two ledgers side by side: what receivers saw, and rswebhook.delivery.
#
# Events are told apart by their messageId, which is the webhook-id.
#
# Copyright (c) 2026, the rswebhook maintainers

package Ledgers;

use strict;
use warnings;

use Exporter 'import';
use RswebhookTest;

our @EXPORT = qw(attempts disagreements escaped send_all);

# Sends events in one transaction, each [destination, messageId, URL] and maybe
# a user and the length of some padding.
sub send_all
{
    my ($node, @events) = @_;
    my $values = join ', ', map {
        my ($destination, $id, $url, $user, $padding) = @$_;
        sprintf q{('%s', '%s', '%s', '%s', %d)}, $destination, $id, $url, $user // $id, $padding // 0
    } @events;

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', id, 'userId', u,
            'fullPath', url, 'properties', jsonb_build_object('pad', repeat('x', padding))), d))
        FROM (VALUES $values) AS v (d, id, url, u, padding)});
    return;
}

# What was written down of each event: id => "retry 1, delivered 200 2".
sub attempts
{
    my ($node) = @_;

    return map { $_->{id} => $_->{attempts} } query_rows($node, q{
        SELECT e.event->>'messageId' AS id,
            string_agg(concat_ws(' ', outcome, status, attempt), ', ' ORDER BY attempt) AS attempts
        FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
        GROUP BY e.id, e.event});
}

# What is recorded as delivered and was not taken by a receiver, and the other
# way around; in words.
sub disagreements
{
    my ($node, @receivers) = @_;
    my %recorded = attempts($node);
    my (%accepted, @wrong);

    foreach my $request (map { $_->requests } @receivers)
    {
        my $id = $request->{headers}{'webhook-id'};

        $accepted{$id}++ if $request->{accepted};
        push @wrong, "$id: not its body"
          if $request->{accepted} && $request->{body} ne '' && $request->{body} !~ /"messageId": ?"\Q$id\E".*\}$/s;
    }
    foreach my $id (sort keys %recorded)
    {
        my $delivered = $recorded{$id} =~ /delivered/;

        push @wrong, "$id: $recorded{$id}, but never taken" if $delivered && !$accepted{$id};
        push @wrong, "$id: $recorded{$id}, but taken" if !$delivered && $accepted{$id};
        push @wrong, "$id: taken $accepted{$id} times" if ($accepted{$id} // 0) > 1;
    }
    return @wrong;
}

# Bytes for a word of scripts/receiver.
sub escaped
{
    my ($bytes) = @_;

    return $bytes =~ s/([^A-Za-z0-9.-])/sprintf '%%%02x', ord $1/ger;
}

1;
