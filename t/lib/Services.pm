# What receivers of other companies make of a request, as they document it: whether they
# take it, and what they answer.  Each has a function that says what is wrong, or nothing.

package Services;

use strict;
use warnings;

use JSON::PP;

my $json = JSON::PP->new->utf8;

# https://api.slack.com/messaging/webhooks, https://api.slack.com/reference/block-kit/blocks
sub slack
{
    my ($body) = @_;
    my $blocks = $body->{blocks};

    return 'no_text' unless is_text($body->{text}, 1, 40_000) || defined $blocks;
    return 'not escaped' if is_text($body->{text}, 1, 40_000) && !is_escaped($body->{text});
    return 'invalid_blocks' if defined $blocks && (!is_list($blocks, 1, 50) || grep { !is_block($_) } @$blocks);
    return;
}

sub is_block
{
    my ($block) = @_;

    return 0 unless ref $block eq 'HASH';
    my $type = $block->{type} // '';
    return 1 if $type eq 'divider';
    return is_text_object($block->{text}, 150, 'plain_text') if $type eq 'header';
    return 0 unless $type eq 'section' && (defined $block->{text} || defined $block->{fields});
    return 0 if defined $block->{text} && !is_text_object($block->{text}, 3000);
    return 1 unless defined $block->{fields};
    return is_list($block->{fields}, 1, 10) && !grep { !is_text_object($_, 2000) } @{ $block->{fields} };
}

sub is_text_object
{
    my ($text, $most, $only) = @_;

    return ref $text eq 'HASH' && ($text->{type} // '') =~ /^(?:plain_text|mrkdwn)$/ &&
      (!defined $only || $text->{type} eq $only) && is_said($text->{text}, $most) &&
      ($text->{type} eq 'plain_text' || is_escaped($text->{text}));
}

# Markup: these three have to be, or could mention people.
sub is_escaped
{
    return $_[0] !~ /[<>]|&(?!amp;|lt;|gt;)/;
}

# https://discord.com/developers/docs/resources/webhook#execute-webhook
sub discord
{
    my ($body) = @_;
    my $embeds = $body->{embeds};

    return 'Cannot send an empty message' unless defined $body->{content} || defined $embeds;
    return 'content' if defined $body->{content} && !is_said($body->{content}, 2000);
    return 'mentions' if ($body->{content} // '') =~ /\@(?:everyone|here)|<\@/ && !defined $body->{allowed_mentions};
    return 'username' if defined $body->{username} && !is_said($body->{username}, 80);
    return 'embeds' if defined $embeds && (!is_list($embeds, 1, 10) || grep { !is_embed($_) } @$embeds);
    my $said = 0;
    foreach my $embed (@{ $embeds // [] })
    {
        $said += length foreach grep { defined } @$embed{qw(title description)}, map { @$_{qw(name value)} } @{ $embed->{fields} // [] };
    }
    return 'embeds' if $said > 6000;
    return;
}

sub is_embed
{
    my ($embed) = @_;

    return 0 unless ref $embed eq 'HASH' && grep { defined } @$embed{qw(title description fields)};
    return 0 if defined $embed->{title} && !is_said($embed->{title}, 256);
    return 0 if defined $embed->{description} && !is_said($embed->{description}, 4096);
    return 0 if defined $embed->{timestamp} && !is_time($embed->{timestamp});
    return 1 unless defined $embed->{fields};
    return is_list($embed->{fields}, 0, 25) &&
      !grep { ref $_ ne 'HASH' || !is_said($_->{name}, 256) || !is_said($_->{value}, 1024) } @{ $embed->{fields} };
}

# https://learn.microsoft.com/power-automate/create-adaptive-cards, https://adaptivecards.io/explorer/
sub teams
{
    my ($body) = @_;

    return 'type' unless ($body->{type} // '') eq 'message';
    return 'attachments' unless is_list($body->{attachments}, 1, 10);
    foreach my $attachment (@{ $body->{attachments} })
    {
        my $card = ref $attachment eq 'HASH' ? $attachment->{content} : undef;

        return 'contentType' unless ($attachment->{contentType} // '') eq 'application/vnd.microsoft.card.adaptive';
        return 'content' unless ref $card eq 'HASH' && ($card->{type} // '') eq 'AdaptiveCard' && is_text($card->{version}, 3, 3);
        return '$schema' if exists $card->{'$schema'} && $card->{'$schema'} ne 'http://adaptivecards.io/schemas/adaptive-card.json';
        return 'body' if !is_list($card->{body}, 1, 100) || grep { !is_card_element($_) } @{ $card->{body} };
    }
    return;
}

sub is_card_element
{
    my ($element) = @_;

    return 0 unless ref $element eq 'HASH';
    my $type = $element->{type} // '';
    return is_text($element->{text}, 0, 10_000) if $type eq 'TextBlock';
    return 0 unless $type eq 'FactSet' && is_list($element->{facts}, 1, 100);
    return !grep { ref $_ ne 'HASH' || !is_text($_->{title}, 1, 1000) || !is_text($_->{value}, 1, 1000) } @{ $element->{facts} };
}

# https://developer.pagerduty.com/docs/send-alert-event
sub pagerduty
{
    my ($body) = @_;
    my $payload = $body->{payload};

    return 'routing_key' unless is_text($body->{routing_key}, 32, 32);
    return 'event_action' unless ($body->{event_action} // '') =~ /^(?:trigger|acknowledge|resolve)$/;
    return 'dedup_key' if defined $body->{dedup_key} && !is_text($body->{dedup_key}, 1, 255);
    return if $body->{event_action} ne 'trigger';
    return 'payload' unless ref $payload eq 'HASH' && is_text($payload->{summary}, 1, 1024) && is_text($payload->{source}, 1, 1024);
    return 'severity' unless ($payload->{severity} // '') =~ /^(?:critical|error|warning|info)$/;
    return 'custom_details' if defined $payload->{custom_details} && ref $payload->{custom_details} ne 'HASH';
    return;
}

my %answers = (
    slack => [ \&slack, 200, 'ok' ],
    discord => [ \&discord, 204, '' ],
    teams => [ \&teams, 202, '' ],
    pagerduty => [ \&pagerduty, 202, '{"status":"success","message":"Event processed"}' ]);

# Status and body of the answer to a request with this method, type and body.
sub answer
{
    my ($service, $method, $type, $text) = @_;
    my ($check, $status, $good) = @{ $answers{$service} // return (404, 'no such service') };
    my $body = eval { $json->decode($text) };

    return (405, 'method') if $method ne 'POST';
    return (400, 'invalid_payload') if $type !~ m{^application/json(?:;|$)} || ref $body ne 'HASH';
    return (413, 'too large') if length $text > ($service eq 'teams' ? 28 * 1024 : 512 * 1024);
    my $wrong = $check->($body);
    return defined $wrong ? (400, $wrong) : ($status, $good);
}

# A string, and no number, of so many characters.
sub is_text
{
    my ($value, $least, $most) = @_;

    return 0 unless defined $value && !ref $value && $json->allow_nonref->encode($value) =~ /^"/;
    return length $value >= $least && length $value <= $most;
}

# One that is not blank either.
sub is_said
{
    return is_text($_[0], 1, $_[1]) && $_[0] =~ /\S/;
}

sub is_list
{
    my ($value, $least, $most) = @_;

    return ref $value eq 'ARRAY' && @$value >= $least && @$value <= $most;
}

sub is_time
{
    return is_text($_[0], 20, 40) &&
      $_[0] =~ /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
}

1;
