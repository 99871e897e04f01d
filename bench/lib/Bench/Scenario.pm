# Bench::Scenario
#     The scenarios, in the order of bench/README.md.
#
# Each gets { size, session, result, dir } and alternates between the ways, so
# that a change of the machine's mood meets all of them.  Each dies if an event
# was lost or arrived twice.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario;

use strict;
use warnings;

use Bench::Scenario::Bytes;
use Bench::Scenario::Cost;
use Bench::Scenario::Latency;
use Bench::Scenario::Many;
use Bench::Scenario::Rate;
use Bench::Scenario::Senders;
use Bench::Scenario::Tables;

my @scenarios = (
    [ throughput => \&Bench::Scenario::Rate::throughput ],
    [ latency => \&Bench::Scenario::Latency::latency ],
    [ send => \&Bench::Scenario::Cost::send_ ],
    [ bytes => \&Bench::Scenario::Bytes::bytes ],
    [ senders => \&Bench::Scenario::Senders::senders ],
    [ tables => \&Bench::Scenario::Tables::tables ],
    [ prepared => \&Bench::Scenario::Cost::prepared ],
    [ backlog => \&Bench::Scenario::Rate::backlog ],
    [ neighbours => \&Bench::Scenario::Latency::neighbours ],
    [ old_snapshot => \&Bench::Scenario::Latency::old_snapshot ],
    [ ordered => \&Bench::Scenario::Rate::ordered ],
    [ many => \&Bench::Scenario::Many::many ],
    [ transform => \&Bench::Scenario::Cost::transform ],
    [ idle => \&Bench::Scenario::Cost::idle ]);

sub names { return map { $_->[0] } @scenarios; }

sub run
{
    my ($name, $bench) = @_;
    my ($scenario) = grep { $_->[0] eq $name } @scenarios;

    $bench->{result}->begin($name);
    $scenario->[1]->($bench);
    return;
}

1;
