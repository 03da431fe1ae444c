package CompletionAsync::Sdk;

=encoding utf8

=head1 NAME

CompletionAsync::Sdk - a client of npm's, as an application uses it

=head1 SYNOPSIS

    my $sdk = CompletionAsync::Sdk->new(baseURL => 'http://127.0.0.1:8080/v1', apiKey => 'k')
        or plan skip_all => '...';
    my $r = $sdk->call('responses.create', { model => 'm', input => 'text' });
    is $r->{value}{status}, 'completed';

    my $begun = $sdk->start('responses.create', [{ ... }], cut => 3, client => { apiKey => 'x' });
    my $r = $begun->();

    my $deepl = CompletionAsync::Sdk->of('deepl-node', serverUrl => $url, authKey => 'k');
    my $r = $deepl->call('translateText', 'text', undef, 'ru');
    is $r->{value}{text}, '...';

=head1 DESCRIPTION

One process of node (F<t/clients/sdk.mjs>) for an object, and a client for each call, with the
options of C<new>, or C<of>, and those given beside it. C<new> is of C<openai>; C<of> takes any
package that F<sdk.mjs> knows. A result has C<value> or C<error>, and of C<openai> C<requests>, how
many it sent. It ends with the object.

=cut

use strict;
use warnings;
use v5.36;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Handle;
use IPC::Open2 qw(open2);
use Mojo::JSON qw(decode_json encode_json);

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');


sub new ($class, %client) { $class->of('openai', %client) }


sub of ($class, $package, %client) {
    my $clients = "$ROOT/build/clients";
    return if !-e "$clients/node_modules/$package/package.json";

    my $self = bless { client => \%client, over => {}, asked => 0, owner => $$ }, $class;
    $self->{pid} = open2($self->{out}, $self->{in}, 'node', "$ROOT/t/clients/sdk.mjs", $clients,
        $package);
    $self->{in}->autoflush;
    return $self;
}


sub start ($self, $call, $args, %opt) {
    my $id     = ++$self->{asked};
    my $client = { %{ $self->{client} }, %{ delete $opt{client} // {} } };

    print { $self->{in} } encode_json({ id => $id, client => $client, call => $call,
        args => $args, %opt }), "\n";
    return sub { $self->over($id) };
}


sub call ($self, $call, @args) {
    return $self->start($call, \@args)->();
}


sub over ($self, $id) {
    while (!$self->{over}{$id}) {
        my $line = readline $self->{out} // die "node ended\n";
        my $json = decode_json($line);
        $self->{over}{ $json->{id} } = $json;
    }
    return delete $self->{over}{$id};
}


sub DESTROY ($self) {
    return if $self->{owner} != $$ || !$self->{pid};

    local $?;
    close $self->{in};
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
}


1;
