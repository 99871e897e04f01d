# Bench::Svg
#     Curves as an SVG file: axes, a grid, a legend, lines.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Svg;

use strict;
use warnings;

my ($width, $height) = (720, 380);
my ($left, $right, $top, $bottom) = (70, 20, 44, 52);
my @colours = ('#2f6fde', '#d9822b', '#3a9d5d', '#c0392b', '#7d5ba6', '#6b7280');

# title, x, y: texts; log_x: logarithmic; max_y: cut there;
# curves: [name, [[x, y], ...]]
sub draw
{
    my ($path, %plot) = @_;
    my @curves = grep { @{ $_->[1] } > 1 } @{ $plot{curves} };
    return unless @curves;

    my @points = map { @{ $_->[1] } } @curves;
    my ($x, $x_ticks) = scale($left, $width - $right, $plot{log_x}, map { $_->[0] } @points);
    my ($y, $y_ticks) =
      scale($height - $bottom, $top, 0, 0, $plot{max_y} // map { $_->[1] } @points);
    my @out = header($plot{title});

    foreach my $tick (@$x_ticks)
    {
        my $at = $x->($tick);
        push @out, line($at, $top, $at, $height - $bottom, '#e5e7eb');
        push @out, text($at, $height - $bottom + 18, 'middle', number($tick));
    }
    foreach my $tick (@$y_ticks)
    {
        my $at = $y->($tick);
        push @out, line($left, $at, $width - $right, $at, '#e5e7eb');
        push @out, text($left - 8, $at + 4, 'end', number($tick));
    }
    push @out, text(($left + $width - $right) / 2, $height - 12, 'middle', $plot{x});
    push @out, sprintf '<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>',
      ($top + $height - $bottom) / 2, escape($plot{y});

    foreach my $i (0 .. $#curves)
    {
        my ($name, $points) = @{ $curves[$i] };
        my $colour = $colours[ $i % @colours ];
        my @visible = grep { !$plot{log_x} || $_->[0] > 0 } @$points;
        my $where = join ' ', map { sprintf '%.1f,%.1f', $x->($_->[0]), $y->($_->[1]) } @visible;

        push @out, qq{<polyline fill="none" stroke="$colour" stroke-width="1.8" points="$where"/>};
        # below each other, at the lower right, where curves of shares are not
        my $at = $height - $bottom - 12 - 18 * ($#curves - $i);
        push @out, line($width - $right - 230, $at - 4, $width - $right - 206, $at - 4, $colour);
        push @out, text($width - $right - 200, $at, 'start', $name);
    }
    open(my $file, '>', $path) or die "cannot write $path: $!\n";
    print $file join("\n", @out, '</svg>'), "\n";
    close $file or die "cannot write $path: $!\n";
    return;
}

sub header
{
    my ($title) = @_;

    return (
        qq{<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" width="$width" height="$height" font-family="sans-serif" font-size="12" fill="#374151">},
        qq{<rect width="$width" height="$height" fill="#ffffff"/>},
        qq{<text x="$left" y="24" font-size="15" fill="#111827">} . escape($title) . '</text>');
}

sub escape
{
    my ($text) = @_;

    return $text =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr;
}

sub line
{
    my ($x1, $y1, $x2, $y2, $colour) = @_;

    return sprintf '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>',
      $x1, $y1, $x2, $y2, $colour;
}

sub text
{
    my ($x, $y, $anchor, $text) = @_;

    return sprintf '<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>',
      $x, $y, $anchor, escape($text);
}

sub number
{
    my ($number) = @_;

    return $number >= 1e6 ? $number / 1e6 . ' M' : $number >= 1e4 ? $number / 1e3 . ' k' : "$number";
}

# A function from values to the picture's units, and where to put ticks.
sub scale
{
    my ($from, $to, $log, @values) = @_;
    @values = sort { $a <=> $b } grep { !$log || $_ > 0 } @values;
    my ($min, $max) = @values[ 0, -1 ];
    my @ticks;

    if ($log)
    {
        my ($low, $high) = (floor_log($min), floor_log($max) + 1);

        @ticks = map { 10**$_ } $low .. $high;
        return (
            sub { $from + ($to - $from) * (log($_[0]) / log(10) - $low) / ($high - $low) },
            \@ticks);
    }
    $max = $min + 1 if $max <= $min;
    my $step = 10**floor_log(($max - $min) / 5);
    foreach my $nice (1, 2, 5, 10)
    {
        $step *= $nice, last if ($max - $min) / ($step * $nice) <= 6;
    }
    $max = $step * -int(-$max / $step - 0.999999);
    for (my $tick = $step * int($min / $step); $tick <= $max * 1.000001; $tick += $step)
    {
        push @ticks, 0 + sprintf '%.6g', $tick if $tick >= $min;
    }
    return (sub {
            my $value = $_[0] > $max ? $max : $_[0];
            return $from + ($to - $from) * ($value - $min) / ($max - $min);
        }, \@ticks);
}

sub floor_log
{
    my ($value) = @_;
    my $log = log($value) / log(10);
    my $int = int($log);

    return $int > $log + 1e-9 ? $int - 1 : $int;
}

1;
